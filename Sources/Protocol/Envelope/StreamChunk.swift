/// The params of a worker's notification `stream_chunk` (protocol §5), checked.
///
///     {"request_id":4194305,"chunk_type":"partial_answer","data":"text","is_final":false}
///
/// `request_id` is the number of our call, also as a string; `data` is any JSON value; `is_final` may be left out.
/// Other members, such as `sequence`, are ignored: the supervisor counts itself. Of a doubled member the first counts.
public struct StreamChunk: Equatable, Sendable {
    public enum Kind: Sendable {
        case partialAnswer, document, metadata

        public var name: StaticString {
            switch self {
            case .partialAnswer: "partial_answer"
            case .document: "document"
            case .metadata: "metadata"
            }
        }
    }

    /// What a worker's params are.
    public enum Reading: Equatable, Sendable {
        case chunk(StreamChunk)
        /// They are refused, and why.
        case refused(String)
    }

    public var call: UInt64
    public var kind: Kind
    /// Its bytes in the params.
    public var data: Range<Int>
    public var isFinal: Bool

    /// Reads the params of a scanned message.
    ///
    /// - Complexity: O(bytes), no allocation unless they are refused.
    public static func read(_ params: UnsafeRawBufferPointer?) -> Reading {
        guard let params, params.first == UInt8(ascii: "{") else {
            return .refused("params: expected an object")
        }
        let members = Members(params)
        guard let call = members.request.flatMap({ Self.call(params, $0) }) else {
            return .refused("request_id: expected the id of a request of the supervisor")
        }
        guard let kind = members.kind.flatMap({ Self.kind(params, $0) }) else {
            return .refused("chunk_type: expected \"partial_answer\", \"document\" or \"metadata\"")
        }
        guard let data = members.data else { return .refused("data: expected a value") }
        var isFinal = false
        if let range = members.isFinal {
            isFinal = params[range].elementsEqual("true".utf8)
            guard isFinal || params[range].elementsEqual("false".utf8) else {
                return .refused("is_final: expected true or false")
            }
        }
        return .chunk(StreamChunk(call: call, kind: kind, data: data, isFinal: isFinal))
    }

    private static func call(_ params: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64? {
        guard params[range.lowerBound] == UInt8(ascii: "\"") else {
            return WorkerMessage.callNumber(params, range)
        }
        return WorkerMessage.callNumber(params, range.lowerBound + 1..<range.upperBound - 1)
    }

    private static func kind(_ params: UnsafeRawBufferPointer, _ range: Range<Int>) -> Kind? {
        guard params[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        let content = range.lowerBound + 1..<range.upperBound - 1
        // Not by `allCases`, which makes an array.
        if Envelope.equal(params, content, Kind.partialAnswer.name) { return .partialAnswer }
        if Envelope.equal(params, content, Kind.document.name) { return .document }
        if Envelope.equal(params, content, Kind.metadata.name) { return .metadata }
        return nil
    }

    private struct Members {
        var request: Range<Int>?
        var kind: Range<Int>?
        var data: Range<Int>?
        var isFinal: Range<Int>?

        init(_ params: UnsafeRawBufferPointer) {
            var scanner = JSONScanner(params)
            do {
                try scanner.forEachMember { name, _, value in self.take(params, name, value) }
            } catch {
                preconditionFailure("params that were never scanned: \(error)")
            }
        }

        private mutating func take(_ params: UnsafeRawBufferPointer, _ name: Range<Int>, _ value: Range<Int>)
        {
            if Envelope.equal(params, name, "request_id") {
                self.request = self.request ?? value
            } else if Envelope.equal(params, name, "chunk_type") {
                self.kind = self.kind ?? value
            } else if Envelope.equal(params, name, "data") {
                self.data = self.data ?? value
            } else if Envelope.equal(params, name, "is_final") {
                self.isFinal = self.isFinal ?? value
            }
        }
    }
}
