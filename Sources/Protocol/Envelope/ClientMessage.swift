/// Why valid JSON is not a request (−32600), as the word in `error.data.reason`.
public enum InvalidRequestReason: String, Sendable {
    case notAnObject = "not_an_object"
    case emptyBatch = "empty_batch"
    case batchTooLarge = "batch_too_large"
    case messageTooLarge = "message_too_large"
    case tooDeep = "too_deep"
    case duplicateMember = "duplicate_member"
    case version = "wrong_version"
    case method = "invalid_method"
    case methodTooLong = "method_too_long"
    case params = "invalid_params_type"
    case id = "invalid_id"
    case idTooLong = "id_too_long"

    /// What was expected, as a sentence for a person.
    public func explanation(limits: MessageLimits) -> String {
        switch self {
        case .notAnObject: "expected a request object"
        case .emptyBatch: "expected at least one call in a batch"
        case .batchTooLarge: "expected at most \(limits.batchCount) calls in a batch"
        case .messageTooLarge: "expected a message of at most \(limits.messageBytes) bytes"
        case .tooDeep: "expected at most \(limits.depth) arrays and objects inside each other"
        case .duplicateMember: "expected jsonrpc, id, method, params and metadata once each"
        case .version: "expected jsonrpc to be \"2.0\""
        case .method: "expected method to be a string"
        case .methodTooLong: "expected a method of at most \(limits.methodBytes) bytes"
        case .params: "expected params to be an object or an array"
        case .id: "expected id to be a string, a number or null"
        case .idTooLong: "expected an id of at most \(limits.idBytes) bytes"
        }
    }
}

/// The parts of a call or a notification, as ranges of the message's bytes.
public struct RequestEnvelope: Equatable, Sendable {
    /// The id as it stands in the message, quotes included; nil for a notification.
    public var id: Range<Int>?
    /// The method's name between its quotes.
    public var method: Range<Int>
    public var methodIsEscaped: Bool
    /// An object or an array.
    public var params: Range<Int>?
    /// Any JSON value: whether it is a good one is a question of its own (`RequestMetadata`).
    public var metadata: Range<Int>?
}

/// What a client's message is. The id survives every failure behind which it can be known, so that an answer
/// is always possible.
public enum ClientMessage: Equatable, Sendable {
    case request(RequestEnvelope)
    /// The elements of a batch, valid JSON each; what each is, `scanElement` tells.
    case batch([Range<Int>])
    /// JSON, but no request.
    case invalid(InvalidRequestReason, id: Range<Int>?)
    /// No JSON.
    case malformed(JSONError)

    /// Scans one message.
    ///
    /// - Complexity: O(bytes), no allocation but for a batch.
    public static func scan(_ bytes: UnsafeRawBufferPointer, limits: MessageLimits) -> ClientMessage {
        do {
            return try JSONScanner.scanDocument(bytes, depthLimit: limits.depth) {
                scanner throws(JSONError) in
                scanner.skipSpace()
                switch scanner.current {
                case UInt8(ascii: "{"):
                    let envelope = try Envelope(scanning: &scanner, insideContainers: 0)
                    try scanner.expectEnd()
                    return RequestEnvelope.judge(envelope, bytes, limits: limits)
                case UInt8(ascii: "["):
                    return try self.scanBatch(&scanner, limits: limits)
                default:
                    try scanner.skipValue()
                    try scanner.expectEnd()
                    return .invalid(.notAnObject, id: nil)
                }
            }
        } catch {
            guard case .tooDeep = error.reason else { return .malformed(error) }
            return .invalid(.tooDeep, id: self.recoverID(bytes, limits: limits))
        }
    }

    /// Scans one element of a batch.
    public static func scanElement(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, limits: MessageLimits
    ) -> ClientMessage {
        guard bytes[range.lowerBound] == UInt8(ascii: "{") else { return .invalid(.notAnObject, id: nil) }
        var scanner = JSONScanner(bytes, range: range, depthLimit: limits.depth)
        do {
            let envelope = try Envelope(scanning: &scanner, insideContainers: 1)
            return RequestEnvelope.judge(envelope, bytes, limits: limits)
        } catch {
            return .malformed(error)
        }
    }

    /// The answer to a message over the size limit, of which only the first bytes are there.
    public static func oversize(prefix: UnsafeRawBufferPointer, limits: MessageLimits) -> ClientMessage {
        .invalid(.messageTooLarge, id: self.recoverID(prefix, limits: limits))
    }

    /// The id of a message of which only the first bytes are there.
    public static func recoverID(
        _ bytes: UnsafeRawBufferPointer, limits: MessageLimits
    ) -> Range<Int>? {
        Envelope.recoverID(in: bytes, idBytes: limits.idBytes)
    }

    private static func scanBatch(
        _ scanner: inout JSONScanner, limits: MessageLimits
    ) throws(JSONError) -> ClientMessage {
        scanner.position += 1
        scanner.skipSpace()
        var elements: [Range<Int>] = []
        var count = 0
        if scanner.current == UInt8(ascii: "]") {
            scanner.position += 1
            try scanner.expectEnd()
            return .invalid(.emptyBatch, id: nil)
        }
        while true {
            let start = scanner.position
            try scanner.skipValue(insideContainers: 1)
            count += 1
            if count <= limits.batchCount { elements.append(start..<scanner.position) }
            scanner.skipSpace()
            if scanner.current == UInt8(ascii: "]") { break }
            guard scanner.current == UInt8(ascii: ",") else { throw scanner.expected("',' or ']'") }
            scanner.position += 1
            scanner.skipSpace()
        }
        scanner.position += 1
        try scanner.expectEnd()
        return count <= limits.batchCount ? .batch(elements) : .invalid(.batchTooLarge, id: nil)
    }
}

extension RequestEnvelope {
    /// Whether a value may stand as an id: a string, a number or null, of at most that many bytes.
    static func isID(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, idBytes: Int) -> Bool {
        guard !range.isEmpty, range.count <= idBytes else { return false }
        return self.hasTypeOfID(bytes, range)
    }

    private static func hasTypeOfID(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        switch bytes[range.lowerBound] {
        case UInt8(ascii: "\""), UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "n"):
            true
        default: false
        }
    }

    static func judge(
        _ envelope: Envelope, _ bytes: UnsafeRawBufferPointer, limits: MessageLimits
    ) -> ClientMessage {
        var id = envelope.id
        if let range = id, envelope.doubled.contains(.id) || !self.isID(bytes, range, idBytes: limits.idBytes)
        {
            id = nil
        }
        if !envelope.doubled.isDisjoint(with: .ofRequests) {
            return .invalid(.duplicateMember, id: id)
        }
        if let range = envelope.id, id == nil {
            return .invalid(self.hasTypeOfID(bytes, range) ? .idTooLong : .id, id: nil)
        }
        guard let version = envelope.jsonrpc, self.isVersion(bytes, version) else {
            return .invalid(.version, id: id)
        }
        guard let quoted = envelope.method, bytes[quoted.lowerBound] == UInt8(ascii: "\"") else {
            return .invalid(.method, id: id)
        }
        let method = quoted.lowerBound + 1..<quoted.upperBound - 1
        let isEscaped = envelope.methodIsEscaped
        let length = isEscaped ? JSONScanner.unescapedUTF8(bytes, method).count : method.count
        guard length <= limits.methodBytes else { return .invalid(.methodTooLong, id: id) }
        if let params = envelope.params, bytes[params.lowerBound] | 0x20 != UInt8(ascii: "{") {
            return .invalid(.params, id: id)
        }
        return .request(
            RequestEnvelope(
                id: id, method: method, methodIsEscaped: isEscaped, params: envelope.params,
                metadata: envelope.metadata))
    }

    /// Whether the value is the string "2.0", however it is escaped.
    @inline(__always)
    static func isVersion(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        let plain: StaticString = "\"2.0\""
        let start = range.lowerBound
        let isPlain = range.count == 5 && (0..<5).allSatisfy { bytes[start &+ $0] == plain.utf8Start[$0] }
        return isPlain || self.isEscapedVersion(bytes, range)
    }

    private static func isEscapedVersion(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        guard bytes[range.lowerBound] == UInt8(ascii: "\"") else { return false }
        return JSONScanner.unescaped(bytes, range.lowerBound + 1..<range.upperBound - 1) == "2.0"
    }
}
