import Protocol

/// `supervisor stop [--wait]`
enum StopCommand {
    private static let patience = Nanoseconds.seconds(5)

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        var client = try ControlClient.connect(arguments)
        let answer = try Answer(client.call("supervisor.stop", timeout: Self.patience))
        if let error = answer.errorSentence { throw .failed(error) }
        if arguments.flag("wait") { client.waitForExit() }
        Terminal.print(
            "supervisor \(client.server.pid) \(arguments.flag("wait") ? "has stopped" : "is stopping")")
    }
}

/// A response, taken apart for a person.
struct Answer {
    let bytes: [UInt8]
    let value: JSONValue

    init(_ bytes: [UInt8]) throws(CommandFailure) {
        self.bytes = bytes
        do throws(JSONError) {
            self.value = try JSONValue(parsing: bytes)
        } catch {
            throw .failed("the supervisor's answer is no JSON: \(error)")
        }
    }

    var result: JSONValue? { self.value["result"] }

    /// "Method not found: x (-32601, method_not_found)"; nil for a result.
    var errorSentence: String? {
        guard let error = self.value["error"] else { return nil }
        let message = error["message"]?.stringValue ?? "an error without a message"
        let code = error["code"]?.integerValue.map { "\($0)" } ?? "no code"
        let reason = error["data"]?["reason"]?.stringValue.map { ", \(Excerpt.escaped($0))" } ?? ""
        return "\(Excerpt.escaped(message, limit: Excerpt.lineBytes)) (\(code)\(reason))"
    }
}
