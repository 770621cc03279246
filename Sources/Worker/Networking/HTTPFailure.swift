/// Why there is no HTTP response.
struct HTTPFailure: Error, Equatable, CustomStringConvertible {
    enum Kind: Equatable {
        /// Nobody listens there, or the name is unknown.
        case cannotConnect
        /// The connection ended before the first byte of an answer.
        case closedUnanswered
        /// The connection ended within the answer.
        case cutOff
        case timeout
        /// The caller has given up.
        case cancelled
        /// The answer is no HTTP.
        case malformed
        case tooLarge
    }

    var kind: Kind
    var description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    static let cancelled = HTTPFailure(.cancelled, "cancelled")
    static let closedUnanswered = HTTPFailure(
        .closedUnanswered, "the connection was closed without an answer")
}
