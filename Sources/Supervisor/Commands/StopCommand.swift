import Protocol

/// `supervisor stop [--wait]`
enum StopCommand {
    private static let patience = Nanoseconds.seconds(5)

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        var client = try ControlClient.connect(arguments)
        let answer = try Answer(client.call("supervisor.stop", timeout: Self.patience))
        if let error = answer.errorSentence { throw CommandFailure(exitCode: 4, message: error) }
        if arguments.flag("wait") { client.waitForExit() }
        Terminal.print(
            "supervisor \(client.server.pid) \(arguments.flag("wait") ? "has stopped" : "is stopping")")
    }
}
