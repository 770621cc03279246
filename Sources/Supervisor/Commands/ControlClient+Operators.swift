import Protocol

extension ControlClient {
    /// How long an answer may take that waits for nothing.
    private static let patience = Nanoseconds.seconds(5)

    /// Calls an operator's method once and gives its result.
    ///
    /// - Parameters:
    ///   - params: members that are null are left out.
    ///   - waits: whether the answer takes as long as the work; the supervisor bounds it (`timeouts.control_wait`).
    /// - Throws: exit code 1 with the supervisor's sentence, when it refuses.
    static func operate(
        _ arguments: ParsedArguments, _ method: String, _ params: [JSONValue.Member] = [],
        waits: Bool = false
    ) throws(CommandFailure) -> (result: JSONValue, server: Peer) {
        var client = try self.connect(arguments)
        let given = JSONValue.object(params.filter { !$0.value.isNull })
        let bytes = try client.call(method, params: given.text, timeout: waits ? nil : self.patience)
        let answer = try Answer(bytes)
        if let error = answer.errorSentence { throw .failed(error + answer.errorList) }
        return (answer.result ?? .null, client.server)
    }
}
