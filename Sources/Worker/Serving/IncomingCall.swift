import Protocol

/// One call, as it was read.
struct IncomingCall: Sendable {
    /// The id as it stands in the message.
    var id: [UInt8]
    var method: String
    /// JSON text; empty when there are none.
    var params: [UInt8]
    /// As the caller named it; nil: it gets a name when one is shown.
    var requestID: String?
    /// That another technique was asked for at first, and failed.
    var fallback: TechniqueFallback?
    /// Whether the answer gets `metadata`, because the request had them.
    var wantsMetadata: Bool
    var received: MonotonicClock
    /// When the caller gives up; nil: never.
    var deadline: MonotonicClock?
    var reply: ReplyTarget

    /// Reads `metadata`: the request's id and the time that is left.
    mutating func read(
        metadata range: Range<Int>?, of bytes: UnsafeRawBufferPointer, limits: MessageLimits
    ) throws(RPCError) {
        guard let range else { return }
        let metadata = try RequestMetadata(scanning: bytes, range, limits: limits)
        if let text = metadata.requestID { self.requestID = JSONScanner.unescaped(bytes, text) }
        var left = metadata.timeoutMilliseconds
        let value = UnsafeRawBufferPointer(rebasing: bytes[range])
        if let deadline = ParamsReader.value("deadline_ms", in: value) {
            guard let milliseconds = (try? JSONValue(parsing: deadline))?.integerValue else {
                throw .invalidParams("metadata.deadline_ms", "expected a whole number of milliseconds")
            }
            left = min(left ?? milliseconds, milliseconds)
        }
        self.fallback = ParamsReader.value("fallback", in: value).flatMap { try? JSONValue(parsing: $0) }
            .flatMap(TechniqueFallback.init)
        self.deadline = left.map { self.received.adding(milliseconds: $0) }
    }

    /// The request's id, or one made for it.
    var shownRequestID: String {
        if let own = self.requestID { return own }
        var generator = SystemRandomNumberGenerator()
        let random = (generator.next(), generator.next())
        return UUIDv7(millisecondsSince1970: WallClock.milliseconds, random: random).text
    }

    /// The params as a tree; nil when there are none.
    func decodedParams() throws(RPCError) -> JSONValue? {
        guard !self.params.isEmpty else { return nil }
        do {
            return try JSONValue(parsing: self.params)
        } catch {
            // The grammar was checked; what is left is a number that no Double holds.
            throw .invalidParams(nil, "\(error)")
        }
    }

    /// - Throws: 1002 when the caller has given up by now.
    func checkDeadline() throws(RPCError) {
        guard let deadline = self.deadline, deadline <= .now else { return }
        throw RPCError(
            .communicationTimeout, reason: "deadline_exceeded",
            "The deadline passed before there was an answer",
            retryable: true)
    }
}

extension RPCError {
    /// Ends the work on a call that was answered already; nobody sees it.
    static let cancelledMeanwhile = RPCError(.requestCancelled, reason: "cancelled", "Request cancelled")
}

extension ClientMessage {
    /// Whether it is answered at all: notifications are not.
    var isAnswered: Bool {
        guard case .request(let envelope) = self else { return true }
        return envelope.id != nil
    }
}

/// `metadata.fallback {from, code}`: the supervisor asks for another technique than the caller did.
struct TechniqueFallback: Equatable, Sendable {
    var from: String
    var code: Int64

    /// - Returns: nil for what is no such object.
    init?(_ value: JSONValue) {
        guard let from = value["from"]?.stringValue, let code = value["code"]?.integerValue else {
            return nil
        }
        self.from = from
        self.code = code
    }

    /// What the result says of it in `metadata.degraded`.
    var words: String { "fallback_from_\(Excerpt.escaped(self.from)): \(self.code)" }

    /// The params without what belongs to the technique that failed.
    func adapt(_ params: JSONValue?) -> JSONValue? {
        guard let members = params?.objectValue else { return params }
        return .object(members.filter { $0.name != "technique_params" })
    }
}
