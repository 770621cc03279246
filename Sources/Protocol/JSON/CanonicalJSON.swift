import Glibc

/// Writes accepted JSON in the one form that all its spellings share: two values are equal exactly when their
/// canonical bytes are.
///
///     {"b": [1.50, 1e2], "a": "\u0041"}   →   {"a":"A","b":[15e-1,1e2]}
///
/// Equal means: members in any order, white space and escapes do not matter, and numbers are equal when their
/// exact decimal values are, so that nothing is rounded: 1e1 = 10.0 = 10 and -0 = 0, but 9007199254740993 is
/// not 9007199254740992. What means different things to different readers has no canonical form: an object
/// that has a name twice, a string with a lone surrogate.
///
/// The form is JSON itself: no space; names in the order of their quoted bytes; in strings only `"`, `\` and
/// U+0000 to U+001F are escaped; a number is its significant digits without zeros at either end, and the power
/// of ten as an exponent when it is not 0 (`15e-1`, `1e2`, `0`). An exponent is never expanded.
///
/// What is canonical already costs one pass that copies; members out of order are sorted within their object. One
/// writer serves call after call: its scratch space is allocated once, and never copied.
public struct CanonicalJSON: ~Copyable {
    /// A member that is written: where its quoted name ends, and where it ends itself.
    private struct Member {
        var start: Int
        var nameEnd: Int
        var end: Int
    }

    /// What is written, and behind it room for an object whose members are being put in order.
    private var written = Scratch()
    private var unsorted = Scratch()
    /// Members of the objects that are open, those of the innermost last.
    private var members: [Member] = []
    private var text: [UInt8] = []
    private var token: [UInt8] = []

    /// The longest that a byte becomes: `\b` is written `\u0008`, and `1.5` is `15e-1`.
    private static let growth = 3

    public init() {}

    /// Appends the canonical form of one accepted JSON value.
    ///
    /// - Returns: false when the value has no canonical form; the output is then as it was.
    public mutating func append(_ json: UnsafeRawBufferPointer, to output: inout [UInt8]) -> Bool {
        guard let form = self.form(of: json) else { return false }
        output.append(contentsOf: form)
        return true
    }

    /// The canonical form of one accepted JSON value.
    ///
    /// - Parameter json: what a scanner accepted (grammar, UTF-8 and depth); space around it is allowed.
    /// - Returns: nil when the value has no canonical form. The bytes are good until the next is made.
    /// - Complexity: O(bytes) where members are in order, else O(bytes × depth + members × log members).
    public mutating func form(of json: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        self.members.removeAll(keepingCapacity: true)
        self.written.clear(for: json.count * Self.growth + ByteWriter.numberBytes)
        var scanner = JSONScanner(json)
        scanner.skipSpace()
        do {
            guard try self.appendValue(&scanner) else { return nil }
        } catch {
            preconditionFailure("canonical form of what was never accepted: \(error)")
        }
        return self.written[0..<self.written.count]
    }

    private mutating func appendValue(_ scanner: inout JSONScanner) throws(JSONError) -> Bool {
        switch scanner.current {
        case UInt8(ascii: "{"): return try self.appendObject(&scanner)
        case UInt8(ascii: "["): return try self.appendArray(&scanner)
        case UInt8(ascii: "\""): return try self.appendString(&scanner)
        default:
            let start = scanner.position
            try scanner.skipValue()
            let token = UnsafeRawBufferPointer(rebasing: scanner.bytes[start..<scanner.position])
            if CanonicalNumber.isCanonical(token) {
                self.written.append(token)
            } else {
                self.token.removeAll(keepingCapacity: true)
                CanonicalNumber.append(token, to: &self.token)
                self.token.withUnsafeBytes { self.written.append($0) }
            }
            return true
        }
    }

    private mutating func appendString(_ scanner: inout JSONScanner) throws(JSONError) -> Bool {
        let content = try scanner.skipString()
        guard scanner.lastStringWasEscaped else {
            // It has nothing in it that must be escaped, or the scanner would have refused it.
            let quoted = content.lowerBound - 1..<content.upperBound + 1
            self.written.append(UnsafeRawBufferPointer(rebasing: scanner.bytes[quoted]))
            return true
        }
        self.text.removeAll(keepingCapacity: true)
        guard JSONScanner.appendUnescaped(scanner.bytes, content, to: &self.text) else { return false }
        self.token.removeAll(keepingCapacity: true)
        self.text.withUnsafeBytes { JSONText.append(utf8: $0, to: &self.token) }
        self.token.withUnsafeBytes { self.written.append($0) }
        return true
    }

    private mutating func appendArray(_ scanner: inout JSONScanner) throws(JSONError) -> Bool {
        self.written.append(UInt8(ascii: "["))
        scanner.step()
        while scanner.current != UInt8(ascii: "]") {
            if scanner.current == UInt8(ascii: ",") {
                self.written.append(UInt8(ascii: ","))
                scanner.step()
            }
            guard try self.appendValue(&scanner) else { return false }
            scanner.skipSpace()
        }
        self.written.append(UInt8(ascii: "]"))
        scanner.position += 1
        return true
    }

    private mutating func appendObject(_ scanner: inout JSONScanner) throws(JSONError) -> Bool {
        let first = self.members.count
        var isInOrder = true
        self.written.append(UInt8(ascii: "{"))
        scanner.step()
        while scanner.current != UInt8(ascii: "}") {
            if scanner.current == UInt8(ascii: ",") {
                self.written.append(UInt8(ascii: ","))
                scanner.step()
            }
            var member = Member(start: self.written.count, nameEnd: 0, end: 0)
            guard try self.appendString(&scanner) else { return false }
            member.nameEnd = self.written.count
            if isInOrder, self.members.count > first {
                isInOrder = Self.compare(self.members[self.members.count - 1], member, in: self.written) < 0
            }
            try scanner.expectColon()
            self.written.append(UInt8(ascii: ":"))
            guard try self.appendValue(&scanner) else { return false }
            member.end = self.written.count
            self.members.append(member)
            scanner.skipSpace()
        }
        self.written.append(UInt8(ascii: "}"))
        scanner.position += 1
        if !isInOrder, !self.sortMembers(from: first) { return false }
        self.members.removeLast(self.members.count - first)
        return true
    }

    /// Puts the members of the object that was just written in order; false when two have one name.
    private mutating func sortMembers(from first: Int) -> Bool {
        let (start, end) = (self.members[first].start, self.written.count)
        self.members.withUnsafeMutableBufferPointer { members in
            var own = UnsafeMutableBufferPointer(rebasing: members[first...])
            Self.sort(&own, in: self.written)
        }
        // All but the brackets around it is written anew, in order.
        self.unsorted.clear(for: end)
        self.unsorted.append(self.written[start..<end])
        self.written.removeAll(from: start)
        for index in first..<self.members.count {
            let member = self.members[index]
            if index > first {
                guard Self.compare(self.members[index - 1], member, from: start, in: self.unsorted) < 0
                else { return false }
                self.written.append(UInt8(ascii: ","))
            }
            self.written.append(self.unsorted[member.start - start..<member.end - start])
        }
        self.written.append(UInt8(ascii: "}"))
        return true
    }

    /// Objects of more members are left to the standard library's sort, which is slower for few.
    private static let fewMembers = 16

    private static func sort(
        _ members: inout UnsafeMutableBufferPointer<Member>, in bytes: borrowing Scratch
    ) {
        guard members.count <= self.fewMembers else {
            let names = bytes.start
            return members.sort { self.compare($0, $1, names) < 0 }
        }
        for index in 1..<members.count {
            let member = members[index]
            var place = index
            while place > 0, self.compare(member, members[place - 1], in: bytes) < 0 {
                members[place] = members[place - 1]
                place -= 1
            }
            members[place] = member
        }
    }

    /// The order of two members' names by their canonical bytes, as memcmp says it.
    ///
    /// - Parameter start: where in what was written the bytes begin.
    private static func compare(
        _ left: Member, _ right: Member, from start: Int = 0, in bytes: borrowing Scratch
    ) -> Int32 {
        self.compare(left, right, bytes.start - start)
    }

    private static func compare(
        _ left: Member, _ right: Member, _ bytes: UnsafeMutableRawPointer
    ) -> Int32 {
        // Names are compared with both their quotes, so that of two that are not equal neither begins the other.
        let count = min(left.nameEnd - left.start, right.nameEnd - right.start)
        return memcmp(bytes + left.start, bytes + right.start, count)
    }
}

/// Bytes that are written one after the other into memory that is kept.
struct Scratch: ~Copyable {
    private(set) var start = UnsafeMutableRawPointer.allocate(byteCount: 1024, alignment: 8)
    private var capacity = 1024
    private(set) var count = 0

    /// Memory for a large value is given back by the next one.
    private static let keptCapacity = 256 * 1024

    init() {}

    deinit { self.start.deallocate() }

    /// Forgets what was written, and makes room for so many bytes.
    mutating func clear(for bytes: Int) {
        self.count = 0
        guard bytes > self.capacity || self.capacity > Self.keptCapacity else { return }
        self.start.deallocate()
        self.capacity = max(1024, bytes)
        self.start = .allocate(byteCount: self.capacity, alignment: 8)
    }

    mutating func removeAll(from end: Int) { self.count = end }

    mutating func append(_ byte: UInt8) {
        precondition(self.count < self.capacity, "a canonical form that is longer than was said")
        self.start.storeBytes(of: byte, toByteOffset: self.count, as: UInt8.self)
        self.count += 1
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        precondition(
            self.capacity - self.count >= bytes.count, "a canonical form that is longer than was said")
        (self.start + self.count).copyMemory(from: base, byteCount: bytes.count)
        self.count += bytes.count
    }

    subscript(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        precondition(range.upperBound <= self.count)
        return UnsafeRawBufferPointer(start: self.start + range.lowerBound, count: range.count)
    }
}

extension JSONScanner {
    /// Over one byte and the space behind it.
    fileprivate mutating func step() {
        self.position += 1
        self.skipSpace()
    }
}

/// Numbers by their exact decimal value.
private enum CanonicalNumber {
    /// Digits of an exponent that surely fit an Int64, with room for what zeros and a fraction add.
    private static let plainExponentDigits = 17

    /// Whether a token is written as it is: a word, or a whole number that does not end with a zero.
    static func isCanonical(_ token: UnsafeRawBufferPointer) -> Bool {
        var index = token[0] == UInt8(ascii: "-") ? 1 : 0
        guard token[index] &- UInt8(ascii: "0") < 10 else { return true }
        while index < token.count, token[index] &- UInt8(ascii: "0") < 10 { index += 1 }
        return index == token.count && token[index - 1] != UInt8(ascii: "0")
    }

    /// - Parameter number: the whole token of an accepted number.
    static func append(_ number: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        let mark = output.count
        var index = 0
        if number[0] == UInt8(ascii: "-") {
            output.append(number[0])
            index = 1
        }
        let digits = output.count
        index = self.appendDigits(number, from: index, to: &output)
        if index == number.count, number[index - 1] != UInt8(ascii: "0") { return }
        var exponent = 0
        if index < number.count, number[index] == UInt8(ascii: ".") {
            let whole = output.count
            index = self.appendDigits(number, from: index + 1, to: &output)
            exponent = whole - output.count
        }
        while output.count > digits, output[output.count - 1] == UInt8(ascii: "0") {
            output.removeLast()
            exponent += 1
        }
        guard output.count > digits else {  // 0 in one of its spellings
            output.removeSubrange(mark...)
            return output.append(UInt8(ascii: "0"))
        }
        let zeros = output[digits...].prefix { $0 == UInt8(ascii: "0") }.count
        output.removeSubrange(digits..<digits + zeros)
        let written = index < number.count ? UnsafeRawBufferPointer(rebasing: number[(index + 1)...]) : nil
        self.appendExponent(written, plus: exponent, to: &output)
    }

    /// Appends a run of digits and returns where it ends.
    private static func appendDigits(
        _ number: UnsafeRawBufferPointer, from start: Int, to output: inout [UInt8]
    ) -> Int {
        var end = start
        while end < number.count, number[end] &- UInt8(ascii: "0") < 10 { end += 1 }
        output.append(contentsOf: number[start..<end])
        return end
    }

    /// - Parameters:
    ///   - written: what stands behind the `e`, if anything does.
    ///   - shift: what the digits that were moved over the point or taken off add to it; at most the bytes of
    ///     a message.
    private static func appendExponent(
        _ written: UnsafeRawBufferPointer?, plus shift: Int, to output: inout [UInt8]
    ) {
        let isNegative = written?.first == UInt8(ascii: "-")
        let digits = written.map { bytes in bytes.drop { $0 &- UInt8(ascii: "1") > 8 } }
        guard let digits, digits.count > self.plainExponentDigits else {
            let value = digits?.reduce(0) { $0 * 10 + Int($1 - UInt8(ascii: "0")) } ?? 0
            let exponent = (isNegative ? -value : value) + shift
            guard exponent != 0 else { return }
            output.append(UInt8(ascii: "e"))
            return JSONText.append(integer: Int64(exponent), to: &output)
        }
        output.append(UInt8(ascii: "e"))
        if isNegative { output.append(UInt8(ascii: "-")) }
        // Too long for a word: added digit by digit. The shift is by far too small to turn the sign.
        var sum = Array(digits)
        var carry = isNegative ? -shift : shift
        for index in sum.indices.reversed() where carry != 0 {
            let value = Int(sum[index] - UInt8(ascii: "0")) + carry
            let digit = ((value % 10) + 10) % 10
            sum[index] = UInt8(ascii: "0") + UInt8(digit)
            carry = (value - digit) / 10
        }
        if carry > 0 {
            JSONText.append(integer: Int64(carry), to: &output)
            output.append(contentsOf: sum)
        } else {
            output.append(contentsOf: sum.drop { $0 == UInt8(ascii: "0") })
        }
    }
}
