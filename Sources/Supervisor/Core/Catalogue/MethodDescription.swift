import Protocol

/// What the contract says of one method.
struct MethodDescription: Sendable {
    enum Answerer: String, Sendable {
        case supervisor
        /// One of a pool, by the balancer.
        case worker = "one worker"
        /// Every one that it concerns, and the supervisor, which sums up.
        case workers = "the supervisor and every worker"
    }

    /// When its answer comes.
    enum Pace: String, Sendable {
        /// At once, from what the supervisor knows, whatever the workers do.
        case immediate
        /// When a worker has answered, within the deadline of the call.
        case call
        /// The same, after chunks.
        case stream
        /// When what it began is done, which may take `timeouts.control_wait`.
        case waiting
        /// A notification: never, and at once null where it came with an id.
        case notification
    }

    struct Param: Sendable {
        var name: String
        var schema: JSONSchema
        var isRequired: Bool
        var summary: String

        static func must(_ name: String, _ schema: JSONSchema, _ summary: String) -> Param {
            Param(name: name, schema: schema, isRequired: true, summary: summary)
        }

        static func may(_ name: String, _ schema: JSONSchema, _ summary: String) -> Param {
            Param(name: name, schema: schema, isRequired: false, summary: summary)
        }
    }

    var name: String
    /// One sentence without its full stop.
    var summary: String
    var answerer: Answerer
    var pace: Pace
    var isForOperators = false
    var params: [Param] = []
    var result: JSONSchema
    /// Besides those that every message may be answered with (`errorsOfAll`).
    var errors: [ErrorCode] = []

    /// What any message may be answered with, whatever its method.
    static let errorsOfAll: [ErrorCode] = [
        .parseError, .invalidRequest, .invalidParams, .internalError, .resourceExhausted,
    ]
    /// What a call that goes to a worker may be answered with.
    static let errorsOfCalls: [ErrorCode] = [
        .methodNotFound, .requestCancelled, .workerUnavailable, .communicationTimeout, .serializationError,
        .workerCrashed, .workerOverloaded, .insufficientResources,
    ]
    /// What a call that waits for the supervisor's own work may be answered with.
    static let errorsOfWaiting: [ErrorCode] = [
        .requestCancelled, .workerUnavailable, .communicationTimeout,
    ]

    /// All errors, each once, in the order of the contract's table.
    var allErrors: [ErrorCode] {
        var codes = Set(Self.errorsOfAll + self.errors)
        if self.isForOperators { codes.insert(.notPermitted) }
        return ErrorCode.allCases.filter { codes.contains($0) }
    }
}
