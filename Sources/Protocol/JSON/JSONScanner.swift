/// Walks over JSON without decoding it: finds where values begin and end, and refuses what RFC 8259 refuses.
///
/// The scanner is what stands between a client's bytes and a worker's: whatever it accepts is passed on byte
/// for byte, so it accepts exactly the grammar and nothing beside it (no NaN, no trailing comma, no comment,
/// no byte order mark, no control character in a string, no leading zero).
///
///     {"id": 7, "ok": [true]}
///     0     6  9 10   16     22
///
/// `skipValue` at 7 leaves the position at 8; at 16 it checks the array as well and leaves it at 22.
///
/// Strings, where most bytes are, are searched 16 bytes at a time: 4 µs for 55 KB against 19 µs for a byte loop, and in
/// a debug build no slower than eight at a time in a word.
///
/// UTF-8 is checked once for a whole message (`validateUTF8`), not string by string, and only where a string was passed
/// that is not all ASCII.
public struct JSONScanner {
    /// Arrays and objects that may be open at once in a message (the contract's limit).
    public static let defaultDepthLimit = 64

    /// The bytes scanned. The pointer is not owned: the scanner must not outlive the call it was made in.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.start, count: self.count) }
    let start: UnsafeRawPointer
    private let count: Int
    /// The end of what belongs to the document; bytes behind it are not looked at.
    let end: Int
    var position: Int
    let depthLimit: Int
    /// Whether the string passed last had an escape in it.
    var lastStringWasEscaped = false
    /// The bytes of all strings that were passed, one over the other (OR), and now and then bytes beside them; those at
    /// the end in words.
    var seen = SIMD16<UInt8>(repeating: 0)
    var seenInWords: UInt64 = 0

    @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>? = nil, depthLimit: Int = Self.defaultDepthLimit)
    {
        // One word holds the kind of every open container.
        precondition((1...64).contains(depthLimit), "depth limit \(depthLimit) is not in 1...64")
        // Of no bytes nothing is read.
        let nothing: StaticString = ""
        self.start = bytes.baseAddress ?? UnsafeRawPointer(nothing.utf8Start)
        self.count = bytes.count
        self.end = range?.upperBound ?? bytes.count
        self.position = range?.lowerBound ?? 0
        self.depthLimit = depthLimit
    }

    /// Checks that the bytes are UTF-8 and one JSON document.
    static func validateDocument(
        _ bytes: UnsafeRawBufferPointer, depthLimit: Int
    ) throws(JSONError) {
        try self.scanDocument(bytes, depthLimit: depthLimit) { scanner throws(JSONError) in
            scanner.skipSpace()
            try scanner.skipValue()
            try scanner.expectEnd()
        }
    }

    /// Has bytes scanned to their end, and checks that they are UTF-8 as well.
    ///
    /// - Throws: what is no UTF-8 rather than what the scan threw.
    @inline(__always)
    static func scanDocument<Result>(
        _ bytes: UnsafeRawBufferPointer, depthLimit: Int,
        _ scan: (inout JSONScanner) throws(JSONError) -> Result
    ) throws(JSONError) -> Result {
        var scanner = JSONScanner(bytes, depthLimit: depthLimit)
        do {
            let result = try scan(&scanner)
            // Outside of strings the grammar has no other bytes.
            if !scanner.sawOnlyASCII { try self.validateUTF8(bytes, depthLimit: depthLimit) }
            return result
        } catch {
            try self.validateUTF8(bytes, depthLimit: depthLimit)
            throw error
        }
    }

    /// Whether all strings that were passed are ASCII; false now and then though they are.
    private var sawOnlyASCII: Bool {
        let words = unsafeBitCast(self.seen, to: SIMD2<UInt64>.self)
        return (words[0] | words[1] | self.seenInWords) & 0x8080_8080_8080_8080 == 0
    }

    /// Checks that the bytes are UTF-8.
    ///
    /// - Throws: what is wrong first: nesting beyond the limit, behind which nothing is judged, or the byte
    ///   that is no UTF-8.
    /// - Complexity: O(bytes); 4.5 ns for 112 bytes.
    static func validateUTF8(_ bytes: UnsafeRawBufferPointer, depthLimit: Int) throws(JSONError) {
        let span = Span<UInt8>(_unsafeBytes: bytes)
        let fault: Int
        do {
            _ = try UTF8Span(validating: span)
            return
        } catch {
            fault = error.byteOffsets.lowerBound
        }
        var scanner = JSONScanner(bytes, range: 0..<fault, depthLimit: depthLimit)
        scanner.skipSpace()
        do {
            try scanner.skipValue()
        } catch {
            if case .tooDeep = error.reason { throw error }
        }
        throw JSONError(.invalidUTF8, at: fault)
    }
}

// MARK: - Walks

extension JSONScanner {
    /// Steps over one value, which it checks whole; the position must be at its first byte.
    ///
    /// Containers are followed without recursion: one bit each in a 64-bit word says whether it is an object.
    ///
    /// - Parameter open: containers that are open already around this value; they count towards the limit.
    /// - Complexity: O(bytes of the value), no allocation.
    mutating func skipValue(insideContainers open: Int = 0) throws(JSONError) {
        var scanner = self
        defer { self = scanner }
        try scanner.walkValue(insideContainers: open)
    }

    @inline(__always)
    private mutating func walkValue(insideContainers open: Int) throws(JSONError) {
        var kinds: UInt64 = 0  // lowest bit: the innermost container; 1 is an object
        var depth = 0
        nextValue: while true {
            // Here a value begins, in an object its name.
            if kinds & 1 == 1 {
                _ = try self.skipString()
                try self.expectColon()
            }
            guard let byte = self.current else { throw self.expected("a value") }
            if byte == UInt8(ascii: "\"") {
                _ = try self.skipString()
            } else if byte | 0x20 == UInt8(ascii: "{") {  // "[" as well
                guard depth + open < self.depthLimit else {
                    throw JSONError(.tooDeep(limit: self.depthLimit), at: self.position)
                }
                self.position &+= 1
                self.skipSpace()
                kinds = kinds << 1 | (byte == UInt8(ascii: "{") ? 1 : 0)
                depth &+= 1
                // The bracket that closes is the next but one in ASCII.
                if self.current != byte &+ 2 { continue nextValue }
            } else {
                try self.skipWordOrNumber(byte)
            }
            // Behind a value: closing brackets, then one comma.
            while depth > 0 {
                self.skipSpace()
                let byte = self.current
                if byte == UInt8(ascii: ",") {
                    self.position &+= 1
                    self.skipSpace()
                    continue nextValue
                }
                guard byte == (kinds & 1 == 1 ? UInt8(ascii: "}") : UInt8(ascii: "]")) else {
                    throw self.expected(kinds & 1 == 1 ? "',' or '}'" : "',' or ']'")
                }
                self.position &+= 1
                kinds >>= 1
                depth &-= 1
            }
            return
        }
    }

    /// Visits the members of an object, the position at its opening brace, and checks each value.
    ///
    /// - Parameter open: containers that are open already around this object.
    /// - Parameter visit: the range between the quotes of the name, whether it has escapes, and the range of
    ///   the value; called after the value was checked.
    @inline(__always)
    mutating func forEachMember(
        insideContainers open: Int = 0,
        _ visit: (_ name: Range<Int>, _ isEscaped: Bool, _ value: Range<Int>) -> Void
    ) throws(JSONError) {
        guard try self.enterObject(insideContainers: open) else { return }
        repeat {
            let name = try self.skipString()
            let isEscaped = self.lastStringWasEscaped
            try self.expectColon()
            let start = self.position
            try self.skipValue(insideContainers: open + 1)
            visit(name, isEscaped, start..<self.position)
        } while try self.leaveMember()
    }

    /// Steps over the brace that opens an object, the position at it, and over its end as well if it is empty.
    ///
    /// - Returns: whether a member follows, the position at it.
    @inline(__always)
    mutating func enterObject(insideContainers open: Int) throws(JSONError) -> Bool {
        guard open < self.depthLimit else {
            throw JSONError(.tooDeep(limit: self.depthLimit), at: self.position)
        }
        self.position &+= 1
        self.skipSpace()
        guard self.current == UInt8(ascii: "}") else { return true }
        self.position &+= 1
        return false
    }

    /// Steps over what stands behind a member: a comma, or the brace that closes the object.
    ///
    /// - Returns: whether another member follows, the position at it.
    @inline(__always)
    mutating func leaveMember() throws(JSONError) -> Bool {
        self.skipSpace()
        let byte = self.current
        guard byte == UInt8(ascii: ",") || byte == UInt8(ascii: "}") else {
            throw self.expected("',' or '}'")
        }
        self.position &+= 1
        guard byte == UInt8(ascii: ",") else { return false }
        self.skipSpace()
        return true
    }
}
