/// An error that one of our programs answers with (a foreign worker's error is passed on as bytes instead).
///
///     {"code":2002,"message":"The queue is full","data":{"name":"WORKER_OVERLOADED","reason":"queue_full",
///      "request_id":"…","retryable":true,"retry_after_ms":250,"queue_depth":256}}
public struct RPCError: Error, Equatable, Sendable {
    /// What the product does, or did, about an error.
    public enum Recovery: String, Sendable {
        case restartWorker = "RESTART_WORKER"
        case retryRequest = "RETRY_REQUEST"
        case fallbackTechnique = "FALLBACK_TECHNIQUE"
    }

    public var code: ErrorCode
    /// A sentence for a person.
    public var message: String
    /// A stable word that a program can test.
    public var reason: String
    /// Whether the same request may succeed later.
    public var retryable: Bool
    public var retryAfterMilliseconds: Int64?
    public var recovery: Recovery?
    public var workerID: String?
    /// Further members of `data`.
    public var details: [JSONValue.Member]

    public init(
        _ code: ErrorCode, reason: String, _ message: String, retryable: Bool = false,
        retryAfterMilliseconds: Int64? = nil, recovery: Recovery? = nil, workerID: String? = nil,
        details: [JSONValue.Member] = []
    ) {
        self.code = code
        self.message = message
        self.reason = reason
        self.retryable = retryable
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.recovery = recovery
        self.workerID = workerID
        self.details = details
    }

    /// The error object.
    ///
    /// - Parameter requestID: the request's `request_id`; nil when the request was too broken to have one.
    public func value(requestID: String?) -> JSONValue {
        var data: [JSONValue.Member] = [
            .init("name", .string(self.code.name)),
            .init("reason", .string(self.reason)),
            .init("request_id", .string(requestID)),
            .init("retryable", .bool(self.retryable)),
        ]
        if let after = self.retryAfterMilliseconds { data.append(.init("retry_after_ms", .integer(after))) }
        if let recovery = self.recovery { data.append(.init("recovery", .string(recovery.rawValue))) }
        if let worker = self.workerID { data.append(.init("worker_id", .string(worker))) }
        return .object([
            .init("code", .integer(self.code.rawValue)),
            .init("message", .string(self.message)),
            .init("data", .object(data + self.details)),
        ])
    }
}

extension RPCError {
    public static func parseError(_ error: JSONError) -> RPCError {
        RPCError(.parseError, reason: "malformed_json", "Parse error: \(error)")
    }

    public static func unreadableHeader(_ fault: FrameDecoder.HeaderFault) -> RPCError {
        RPCError(
            .parseError, reason: "malformed_header",
            "Parse error: \(fault.rawValue); the connection is closed, since the next message cannot be found"
        )
    }

    public static func invalidRequest(
        _ reason: InvalidRequestReason, limits: MessageLimits = MessageLimits()
    ) -> RPCError {
        RPCError(
            .invalidRequest, reason: reason.rawValue,
            "Invalid Request: \(reason.explanation(limits: limits))")
    }

    /// - Parameter nearest: a method that may have been meant, as `data.suggestion`: the message is the contract's.
    public static func methodNotFound(_ method: String, nearest: String? = nil) -> RPCError {
        RPCError(
            .methodNotFound, reason: "method_not_found", "Method not found: \(Excerpt.escaped(method))",
            details: nearest.map { [.init("suggestion", .string($0))] } ?? [])
    }

    /// - Parameter path: where in the params, such as `options.top_k`; nil for the params as a whole.
    public static func invalidParams(_ path: String?, _ expected: String) -> RPCError {
        RPCError(
            .invalidParams, reason: "invalid_params",
            "Invalid params: \(path.map { "\($0): " } ?? "")\(expected)",
            details: path.map { [.init("path", .string($0))] } ?? [])
    }
}
