/// What a document is made of: white space, strings, numbers, words.
///
/// All of it is inlined into the walks that use it, which keep a copy of the scanner in registers.
extension JSONScanner {
    @inline(__always)
    static func isSpace(_ byte: UInt8) -> Bool {
        // Most bytes asked about are none.
        byte <= 0x20 && (byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09)
    }

    /// A byte before the end.
    @inline(__always)
    subscript(position: Int) -> UInt8 { self.start.load(fromByteOffset: position, as: UInt8.self) }

    @inline(__always)
    var atEnd: Bool { self.position >= self.end }

    /// The byte at the position; nil at the end.
    @inline(__always)
    var current: UInt8? { self.position < self.end ? self[self.position] : nil }

    @inline(__always)
    mutating func skipSpace() {
        while self.position < self.end, Self.isSpace(self[self.position]) { self.position &+= 1 }
    }

    @inline(never)
    func expected(_ what: StaticString) -> JSONError {
        JSONError(.expected(what.description), at: self.position)
    }

    @inline(__always)
    mutating func expectEnd() throws(JSONError) {
        self.skipSpace()
        guard self.atEnd else { throw self.expected("the end of the document") }
    }

    @inline(__always)
    mutating func expectColon() throws(JSONError) {
        self.skipSpace()
        guard self.current == UInt8(ascii: ":") else { throw self.expected("':'") }
        self.position &+= 1
        self.skipSpace()
    }

    /// Steps over a string, the position at its opening quote, and returns the range between the quotes.
    @inline(__always)
    mutating func skipString() throws(JSONError) -> Range<Int> {
        // Most are short, and have no escapes: one look finds the end.
        let start = self.position &+ 1
        if start &+ 16 <= self.end, self[self.position] == UInt8(ascii: "\"") {
            let block = self.block(at: start)
            let end = start &+ Self.first(of: Self.marks(in: block))
            if end < start &+ 16, self[end] == UInt8(ascii: "\"") {
                self.seen |= block
                self.lastStringWasEscaped = false
                self.position = end &+ 1
                return Range(uncheckedBounds: (start, end))
            }
        }
        return try self.skipAnyString()
    }

    private mutating func skipAnyString() throws(JSONError) -> Range<Int> {
        guard self.current == UInt8(ascii: "\"") else { throw self.expected("a string") }
        let start = self.position &+ 1
        var scanner = self
        defer { self = scanner }
        scanner.position = start
        scanner.lastStringWasEscaped = false
        while true {
            scanner.skipPlainStringBytes()
            guard let byte = scanner.current else { throw scanner.expected("the end of a string") }
            scanner.position &+= 1
            if byte == UInt8(ascii: "\"") { break }
            guard byte == UInt8(ascii: "\\") else {
                scanner.position &-= 1
                throw scanner.expected("a string without control characters")
            }
            scanner.lastStringWasEscaped = true
            try scanner.skipEscape()
        }
        return Range(uncheckedBounds: (start, scanner.position &- 1))
    }

    /// The quotes, backslashes and control characters of a block: all bits of a marked byte are set.
    @inline(__always)
    private static func marks(in block: SIMD16<UInt8>) -> SIMD2<UInt64> {
        let quote = SIMD16<UInt8>(repeating: UInt8(ascii: "\""))
        let backslash = SIMD16<UInt8>(repeating: UInt8(ascii: "\\"))
        let space = SIMD16<UInt8>(repeating: 0x20)
        let marks = (block .== quote) .| (block .== backslash) .| (block .< space)
        return unsafeBitCast(marks, to: SIMD2<UInt64>.self)
    }

    /// The index of the first marked byte; 16: there is none.
    @inline(__always)
    private static func first(of marks: SIMD2<UInt64>) -> Int {
        if marks[0] != 0 { return marks[0].littleEndian.trailingZeroBitCount &>> 3 }
        return 8 &+ marks[1].littleEndian.trailingZeroBitCount &>> 3
    }

    @inline(__always)
    private func block(at position: Int) -> SIMD16<UInt8> {
        self.start.loadUnaligned(fromByteOffset: position, as: SIMD16<UInt8>.self)
    }

    /// Moves to the next quote, backslash or control character of a string, or to the end.
    ///
    /// Where the next block lies must not be a sum of what was found in this one: then the processor could not begin with
    /// it before this one is done, which takes five times as long.
    @inline(__always)
    private mutating func skipPlainStringBytes() {
        while self.position &+ 64 <= self.end {
            let (first, second) = (self.block(at: self.position), self.block(at: self.position &+ 16))
            let (third, fourth) = (self.block(at: self.position &+ 32), self.block(at: self.position &+ 48))
            let marks =
                Self.marks(in: first) | Self.marks(in: second) | Self.marks(in: third)
                | Self.marks(in: fourth)
            guard marks[0] | marks[1] == 0 else { break }
            self.seen |= first | second | third | fourth
            self.position &+= 64
        }
        while self.position &+ 16 <= self.end {
            let block = self.block(at: self.position)
            self.seen |= block
            let marks = Self.marks(in: block)
            if marks[0] | marks[1] != 0 {
                self.position &+= Self.first(of: marks)
                return
            }
            self.position &+= 16
        }
        self.skipLastPlainStringBytes()
    }

    /// The same for the last 15 bytes and fewer, eight at a time in a word (SWAR).
    ///
    /// For each byte b of the word, `(b - 1) & ~b` has its top bit set when b is zero; the word is first XORed
    /// with the byte looked for. A borrow may mark bytes above a hit as well, so only the lowest mark counts.
    @inline(__always)
    private mutating func skipLastPlainStringBytes() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let tops: UInt64 = 0x8080_8080_8080_8080
        while self.position < self.end, self.end >= 8 {
            // The last word begins before the position: what it has too much is shifted out, and zeros come in, control
            // characters at the end.
            let place = min(self.position, self.end &- 8)
            let shift = UInt64(truncatingIfNeeded: (self.position &- place) &* 8)
            let word =
                UInt64(littleEndian: self.start.loadUnaligned(fromByteOffset: place, as: UInt64.self))
                &>> shift
            self.seenInWords |= word
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5C)
            let marks =
                ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash
                    | (word &- ones &* 0x20) & ~word) & tops
            if marks != 0 {
                self.position &+= marks.trailingZeroBitCount >> 3
                return
            }
            self.position &+= 8
        }
        while self.position < self.end {
            let byte = self[self.position]
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") { return }
            self.seenInWords |= UInt64(byte)
            self.position &+= 1
        }
    }

    /// Steps over what follows a backslash.
    @inline(__always)
    private mutating func skipEscape() throws(JSONError) {
        guard let kind = self.current else { throw self.expected("the end of an escape") }
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            self.position &+= 1
        case UInt8(ascii: "u"):
            self.position &+= 1
            for _ in 0..<4 {
                guard let digit = self.current, Self.hexValue(digit) != nil else {
                    throw self.expected("four hexadecimal digits")
                }
                self.position &+= 1
            }
        default:
            throw self.expected("one of \" \\ / b f n r t u after a backslash")
        }
    }

    /// Steps over a word or a number, of which the position's byte is the first.
    @inline(__always)
    mutating func skipWordOrNumber(_ first: UInt8) throws(JSONError) {
        if first &- UInt8(ascii: "0") < 10 || first == UInt8(ascii: "-") { return try self.skipNumber() }
        switch first {
        case UInt8(ascii: "t"): try self.skipWord("true")
        case UInt8(ascii: "f"): try self.skipWord("false")
        case UInt8(ascii: "n"): try self.skipWord("null")
        default: throw self.expected("a value")
        }
    }

    /// Steps over a number: `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    @inline(__always)
    private mutating func skipNumber() throws(JSONError) {
        if self.current == UInt8(ascii: "-") { self.position &+= 1 }
        if self.current == UInt8(ascii: "0") {
            self.position &+= 1
        } else {
            try self.skipDigits()
        }
        // Most numbers are whole, and followed by a comma or a bracket.
        guard let byte = self.current, byte == UInt8(ascii: ".") || byte | 0x20 == UInt8(ascii: "e") else {
            return
        }
        try self.skipFraction()
    }

    private mutating func skipFraction() throws(JSONError) {
        if self.current == UInt8(ascii: ".") {
            self.position &+= 1
            try self.skipDigits()
        }
        guard let byte = self.current, byte | 0x20 == UInt8(ascii: "e") else { return }
        self.position &+= 1
        if self.current == UInt8(ascii: "+") || self.current == UInt8(ascii: "-") { self.position &+= 1 }
        try self.skipDigits()
    }

    @inline(__always)
    private mutating func skipDigits() throws(JSONError) {
        let start = self.position
        while self.position < self.end, self[self.position] &- UInt8(ascii: "0") < 10 { self.position &+= 1 }
        guard self.position > start else { throw self.expected("a digit") }
    }

    private mutating func skipWord(_ word: StaticString) throws(JSONError) {
        let count = word.utf8CodeUnitCount
        guard self.position + count <= self.end else { throw self.expected("a value") }
        for index in 0..<count where self.bytes[self.position + index] != word.utf8Start[index] {
            throw self.expected("a value")
        }
        self.position += count
    }
}
