/// The elements of an accepted array, as ranges of its bytes.
public struct JSONElements: Sequence, IteratorProtocol {
    private var scanner: JSONScanner

    /// - Parameter array: from its bracket on, of JSON that was accepted.
    public init(_ bytes: UnsafeRawBufferPointer, _ array: Range<Int>) {
        precondition(bytes[array.lowerBound] == UInt8(ascii: "["), "no array")
        self.scanner = JSONScanner(bytes, range: array.lowerBound + 1..<array.upperBound - 1)
    }

    public mutating func next() -> Range<Int>? {
        self.scanner.skipSpace()
        if self.scanner.current == UInt8(ascii: ",") {
            self.scanner.position += 1
            self.scanner.skipSpace()
        }
        guard !self.scanner.atEnd else { return nil }
        return self.scanner.skipAcceptedValue()
    }
}

/// The members of an accepted object: names with their escapes resolved, values as ranges of its bytes.
public struct JSONMembers: Sequence, IteratorProtocol {
    private var scanner: JSONScanner
    private let bytes: UnsafeRawBufferPointer

    /// - Parameter bytes: one object, without space around it, of JSON that was accepted.
    public init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.first == UInt8(ascii: "{"), "no object")
        self.bytes = bytes
        self.scanner = JSONScanner(bytes, range: 1..<bytes.count - 1)
    }

    public mutating func next() -> (name: String, value: Range<Int>)? {
        self.scanner.skipSpace()
        if self.scanner.current == UInt8(ascii: ",") {
            self.scanner.position += 1
            self.scanner.skipSpace()
        }
        guard !self.scanner.atEnd else { return nil }
        let name = self.scanner.skipAcceptedValue()
        self.scanner.skipSpace()
        self.scanner.position += 1  // the colon
        self.scanner.skipSpace()
        let value = self.scanner.skipAcceptedValue()
        return (JSONScanner.unescaped(self.bytes, name.lowerBound + 1..<name.upperBound - 1), value)
    }
}

extension JSONScanner {
    fileprivate mutating func skipAcceptedValue() -> Range<Int> {
        let start = self.position
        do {
            try self.skipValue()
        } catch {
            preconditionFailure("a walk over bytes that were never accepted: \(error)")
        }
        return start..<self.position
    }
}

extension JSONText {
    /// Whether the content of an accepted string is text: every escaped surrogate has its other half.
    static func isExact(_ bytes: UnsafeRawBufferPointer, _ content: Range<Int>) -> Bool {
        guard bytes[content].contains(UInt8(ascii: "\\")) else { return true }
        var text: [UInt8] = []
        return JSONScanner.appendUnescaped(bytes, content, to: &text)
    }
}
