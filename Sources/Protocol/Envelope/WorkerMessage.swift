/// What a line on a worker's stdout is. Workers are trusted with nothing: a line is believed only when it is
/// whole, and answers a call of ours by a number of ours.
public enum WorkerMessage: Equatable, Sendable {
    /// The answer to the call of that number: the result's range, or the error object's.
    case result(call: UInt64, Range<Int>)
    case error(call: UInt64, Range<Int>)
    /// It names a call of ours, but is no JSON-RPC response.
    case unreadable(call: UInt64, UnreadableReason)
    /// A response to something that we never asked (its id is no number of ours).
    case foreign
    /// The worker asks: an id, the method between its quotes, its params.
    case request(RequestEnvelope)
    /// The worker tells.
    case notification(RequestEnvelope)
    /// Anything else: banners, warnings, half lines.
    case noise

    /// Why a reply cannot be passed on (1003), as the word in `error.data.reason`.
    public enum UnreadableReason: String, Sendable {
        case notJSON = "reply_not_json"
        case tooDeep = "reply_too_deep"
        case tooLarge = "reply_too_large"
        case notAResponse = "reply_not_a_response"
        /// A response, but not what `embedding.create` has to answer: found by who reads the result.
        case notEmbeddings = "reply_not_embeddings"
    }

    /// Scans one line.
    ///
    /// - Complexity: O(bytes), no allocation; a line that does not begin with `{` is noise at once.
    public static func scan(_ bytes: UnsafeRawBufferPointer, limits: MessageLimits) -> WorkerMessage {
        var scanner = JSONScanner(bytes, depthLimit: limits.depth)
        scanner.skipSpace()
        guard scanner.current == UInt8(ascii: "{") else { return .noise }
        let position = scanner.position
        do {
            let envelope = try JSONScanner.scanDocument(bytes, depthLimit: limits.depth) {
                scanner throws(JSONError) in
                scanner.position = position
                let envelope = try Envelope(scanning: &scanner, insideContainers: 0)
                try scanner.expectEnd()
                return envelope
            }
            return self.judge(envelope, bytes, limits: limits)
        } catch {
            var reason = UnreadableReason.notJSON
            if case .tooDeep = error.reason { reason = .tooDeep }
            return self.broken(bytes, reason, limits: limits)
        }
    }

    /// What a line over the size limit was, of which only the first bytes are there.
    public static func oversize(prefix: UnsafeRawBufferPointer, limits: MessageLimits) -> WorkerMessage {
        self.broken(prefix, .tooLarge, limits: limits)
    }

    /// A broken line fails the call it names, if it names one: that caller need not wait for its deadline.
    private static func broken(
        _ bytes: UnsafeRawBufferPointer, _ reason: UnreadableReason, limits: MessageLimits
    ) -> WorkerMessage {
        guard let id = Envelope.recoverID(in: bytes, idBytes: limits.idBytes),
            let call = self.callNumber(bytes, id)
        else { return .noise }
        return .unreadable(call: call, reason)
    }

    private static func judge(
        _ envelope: Envelope, _ bytes: UnsafeRawBufferPointer, limits: MessageLimits
    ) -> WorkerMessage {
        if envelope.method != nil {
            guard case .request(let request) = RequestEnvelope.judge(envelope, bytes, limits: limits) else {
                return .noise
            }
            return request.id == nil ? .notification(request) : .request(request)
        }
        guard let id = envelope.id, !envelope.doubled.contains(.id) else { return .noise }
        let isWhole = envelope.jsonrpc.map { RequestEnvelope.isVersion(bytes, $0) } ?? false
        guard let call = self.callNumber(bytes, id) else {
            return envelope.result != nil || envelope.error != nil ? .foreign : .noise
        }
        guard isWhole, envelope.doubled.isEmpty else { return .unreadable(call: call, .notAResponse) }
        switch (envelope.result, envelope.error) {
        case (let result?, nil): return .result(call: call, result)
        case (nil, let error?) where bytes[error.lowerBound] == UInt8(ascii: "{"):
            return .error(call: call, error)
        default: return .unreadable(call: call, .notAResponse)
        }
    }

    /// The number in an id; nil for anything but up to 16 decimal digits (ours have at most 16).
    static func callNumber(_ bytes: UnsafeRawBufferPointer, _ id: Range<Int>) -> UInt64? {
        guard !id.isEmpty, id.count <= 16 else { return nil }
        var number: UInt64 = 0
        for index in id {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            number = number &* 10 &+ UInt64(digit)
        }
        return number
    }
}
