/// Why bytes are not a JSON document, and where.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Equatable, Sendable {
        /// The grammar of RFC 8259 wants something else; the associated words say what.
        case expected(String)
        /// A byte sequence that is no UTF-8.
        case invalidUTF8
        /// More arrays and objects open at once than the limit.
        case tooDeep(limit: Int)
        /// A number that no 64-bit float can hold.
        case numberOutOfRange
    }

    public var reason: Reason
    /// Byte offset of the first byte that could not be taken.
    public var offset: Int

    public init(_ reason: Reason, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    public var description: String {
        switch self.reason {
        case .expected(let what): "expected \(what) at byte \(self.offset)"
        case .invalidUTF8: "invalid UTF-8 at byte \(self.offset)"
        case .tooDeep(let limit): "nested deeper than \(limit) at byte \(self.offset)"
        case .numberOutOfRange: "number out of range at byte \(self.offset)"
        }
    }
}

extension JSONValue {
    /// Parses one JSON document (RFC 8259, UTF-8, no byte order mark) and nothing after it but white space.
    ///
    /// A lone surrogate escape becomes U+FFFD, since a String cannot hold it.
    ///
    /// - Parameter depthLimit: arrays and objects that may be open at once.
    /// - Complexity: O(bytes), plus one allocation a string, array and object.
    public init(
        parsing bytes: [UInt8], depthLimit: Int = JSONScanner.defaultDepthLimit
    ) throws(JSONError) {
        let parsed = bytes.withUnsafeBytes { Self.parse($0, depthLimit: depthLimit) }
        self = try parsed.get()
    }

    /// Parses one JSON document out of text.
    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }

    /// Parses a range that is known to be one JSON document, such as the params of a scanned envelope.
    public init(parsing bytes: UnsafeRawBufferPointer) throws(JSONError) {
        self = try Self.parse(bytes, depthLimit: JSONScanner.defaultDepthLimit).get()
    }

    private static func parse(
        _ bytes: UnsafeRawBufferPointer, depthLimit: Int
    ) -> Result<JSONValue, JSONError> {
        // One strict pass for the grammar, then a builder that can trust it: the rules stand once.
        Result { () throws(JSONError) in
            try JSONScanner.validateDocument(bytes, depthLimit: depthLimit)
            var builder = TreeBuilder(bytes: bytes)
            return try builder.value()
        }
    }
}

/// Builds a tree out of bytes that `JSONScanner` has accepted.
private struct TreeBuilder {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func value() throws(JSONError) -> JSONValue {
        self.skipSpace()
        switch self.bytes[self.position] {
        case UInt8(ascii: "{"): return try self.object()
        case UInt8(ascii: "["): return try self.array()
        case UInt8(ascii: "\""): return .string(self.string())
        case UInt8(ascii: "t"):
            self.position += 4
            return .bool(true)
        case UInt8(ascii: "f"):
            self.position += 5
            return .bool(false)
        case UInt8(ascii: "n"):
            self.position += 4
            return .null
        default: return try self.number()
        }
    }

    private mutating func object() throws(JSONError) -> JSONValue {
        var members: [JSONValue.Member] = []
        self.position += 1
        while self.nextElement(closing: UInt8(ascii: "}")) {
            let name = self.string()
            self.skipSpace()
            self.position += 1  // the colon
            members.append(JSONValue.Member(name, try self.value()))
        }
        return .object(members)
    }

    private mutating func array() throws(JSONError) -> JSONValue {
        var elements: [JSONValue] = []
        self.position += 1
        while self.nextElement(closing: UInt8(ascii: "]")) {
            elements.append(try self.value())
        }
        return .array(elements)
    }

    /// Steps over white space and one comma to the next element; false, and past the bracket, at the end.
    private mutating func nextElement(closing: UInt8) -> Bool {
        self.skipSpace()
        if self.bytes[self.position] == UInt8(ascii: ",") {
            self.position += 1
            self.skipSpace()
        }
        guard self.bytes[self.position] == closing else { return true }
        self.position += 1
        return false
    }

    private mutating func string() -> String {
        let end = JSONScanner.endOfString(self.bytes, openingQuote: self.position)
        let content = self.position + 1..<end - 1
        self.position = end
        return JSONScanner.unescaped(self.bytes, content)
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        let start = self.position
        var isInteger = true
        while self.position < self.bytes.count {
            switch self.bytes[self.position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
            case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"), UInt8(ascii: "+"): isInteger = false
            default: return try self.number(from: start, isInteger: isInteger)
            }
            self.position += 1
        }
        return try self.number(from: start, isInteger: isInteger)
    }

    private func number(from start: Int, isInteger: Bool) throws(JSONError) -> JSONValue {
        let text = String(decoding: self.bytes[start..<self.position], as: UTF8.self)
        if isInteger, let integer = Int64(text) { return .integer(integer) }
        guard let double = Double(text), double.isFinite else {
            throw JSONError(.numberOutOfRange, at: start)
        }
        return .double(double)
    }

    private mutating func skipSpace() {
        while self.position < self.bytes.count, JSONScanner.isSpace(self.bytes[self.position]) {
            self.position += 1
        }
    }
}
