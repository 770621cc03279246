/// The optional `metadata` of a request (protocol §2), checked, as far as the product acts on it.
///
/// Texts are kept as ranges between their quotes, escapes and all: they are written into other messages as
/// they are.
public struct RequestMetadata: Equatable, Sendable {
    public enum Priority: String, CaseIterable, Sendable { case high, normal, low }
    public enum CacheUse: String, CaseIterable, Sendable { case use, bypass, refresh }
    public enum CacheScope: String, CaseIterable, Sendable { case shared, `private` }

    public var requestID: Range<Int>?
    public var traceparent: Range<Int>?
    public var priority = Priority.normal
    /// 1 to `maximumTimeoutMilliseconds`.
    public var timeoutMilliseconds: Int64?
    public var cache = CacheUse.use
    public var cacheScope = CacheScope.shared

    /// A longer timeout is cut here, so that its nanoseconds fit into 64 bits: a hundred years.
    public static let maximumTimeoutMilliseconds: Int64 = 36_525 * 86_400_000

    public init() {}

    /// Reads the metadata of a scanned message; members that the contract does not name are ignored.
    ///
    /// - Throws: −32602 with the path of the first member that has the wrong type or an unknown word.
    /// - Complexity: O(bytes), no allocation.
    public init(
        scanning bytes: UnsafeRawBufferPointer, _ range: Range<Int>, limits: MessageLimits
    ) throws(RPCError) {
        guard bytes[range.lowerBound] == UInt8(ascii: "{") else {
            throw .invalidParams("metadata", "expected an object")
        }
        var reader = Reader(bytes: bytes, limits: limits)
        var scanner = JSONScanner(bytes, range: range)
        do {
            try scanner.forEachMember { name, isEscaped, value in
                reader.take(name, isEscaped: isEscaped, value)
            }
        } catch {
            preconditionFailure("metadata of a message that was never scanned: \(error)")
        }
        if let fault = reader.fault { throw fault }
        self = reader.metadata
    }

    /// Whether that may stand as `request_id` or `traceparent`: 1 to `limit` characters, all of them printable.
    public static func isText(_ text: String, limit: Int) -> Bool {
        let scalars = text.unicodeScalars
        return !scalars.isEmpty && scalars.count <= limit && scalars.allSatisfy(Self.isPrintable)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .unassigned, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }
}

private struct Reader {
    let bytes: UnsafeRawBufferPointer
    let limits: MessageLimits
    var metadata = RequestMetadata()
    var fault: RPCError?

    private enum Field: String, CaseIterable {
        case requestID = "request_id"
        case traceparent, timestamp, priority, cache
        case timeout = "timeout_ms"
        case cacheScope = "cache_scope"
    }

    mutating func take(_ name: Range<Int>, isEscaped: Bool, _ value: Range<Int>) {
        guard self.fault == nil, let field = self.field(name, isEscaped: isEscaped) else { return }
        do throws(RPCError) {
            switch field {
            case .requestID: self.metadata.requestID = try self.text(value, field)
            case .traceparent: self.metadata.traceparent = try self.text(value, field)
            case .timestamp: try self.timestamp(value)
            case .timeout: self.metadata.timeoutMilliseconds = try self.timeout(value)
            case .priority: self.metadata.priority = try self.word(value, field)
            case .cache: self.metadata.cache = try self.word(value, field)
            case .cacheScope: self.metadata.cacheScope = try self.word(value, field)
            }
        } catch {
            self.fault = error
        }
    }

    private func field(_ name: Range<Int>, isEscaped: Bool) -> Field? {
        if isEscaped { return Field(rawValue: JSONScanner.unescaped(self.bytes, name)) }
        return Field.allCases.first { self.bytes[name].elementsEqual($0.rawValue.utf8) }
    }

    private func content(_ value: Range<Int>) -> Range<Int>? {
        guard self.bytes[value.lowerBound] == UInt8(ascii: "\"") else { return nil }
        return value.lowerBound + 1..<value.upperBound - 1
    }

    private func text(_ value: Range<Int>, _ field: Field) throws(RPCError) -> Range<Int> {
        let limit = self.limits.metadataTextCharacters
        let expectation = "expected a string of 1 to \(limit) printable characters"
        guard let content = self.content(value), !content.isEmpty else {
            throw .invalidParams("metadata.\(field.rawValue)", expectation)
        }
        if content.count <= limit,
            self.bytes[content].allSatisfy({ (0x20..<0x7F).contains($0) && $0 != 0x5C })
        {
            return content
        }
        guard RequestMetadata.isText(JSONScanner.unescaped(self.bytes, content), limit: limit) else {
            throw .invalidParams("metadata.\(field.rawValue)", expectation)
        }
        return content
    }

    private func word<Word: RawRepresentable<String> & CaseIterable>(
        _ value: Range<Int>, _ field: Field
    ) throws(RPCError) -> Word {
        if let content = self.content(value),
            let word = Word(rawValue: JSONScanner.unescaped(self.bytes, content))
        {
            return word
        }
        let words = Word.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        throw .invalidParams("metadata.\(field.rawValue)", "expected one of \(words)")
    }

    private func timeout(_ value: Range<Int>) throws(RPCError) -> Int64 {
        let slice = UnsafeRawBufferPointer(rebasing: self.bytes[value])
        guard let number = (try? JSONValue(parsing: slice))?.doubleValue, number >= 1,
            number.rounded() == number
        else {
            throw .invalidParams("metadata.timeout_ms", "expected a whole number of milliseconds, at least 1")
        }
        let maximum = RequestMetadata.maximumTimeoutMilliseconds
        return number < Double(maximum) ? Int64(number) : maximum
    }

    private func timestamp(_ value: Range<Int>) throws(RPCError) {
        guard let content = self.content(value),
            Timestamp.isRFC3339(JSONScanner.unescapedUTF8(self.bytes, content))
        else {
            throw .invalidParams(
                "metadata.timestamp", "expected an RFC 3339 time such as \"2026-01-31T12:00:00.000Z\"")
        }
    }
}
