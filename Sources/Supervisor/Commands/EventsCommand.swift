import Protocol

/// `supervisor events [TOPIC…] [--json]`
enum EventsCommand {
    /// Every topic but `log`, which has no dot and repeats the others.
    private static let standardPatterns = ["*.*"]

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let patterns = arguments.positionals.isEmpty ? self.standardPatterns : arguments.positionals
        var client = try ControlClient.connect(arguments)
        let params: JSONValue = ["topics": .array(patterns.map { .string($0) })]
        let signals = try StreamCommand.interrupts()
        let answer = try Answer(
            client.call("events.subscribe", params: params.text, timeout: .seconds(5)))
        if let error = answer.errorSentence { throw .failed(error) }
        while let message = try self.next(&client, unlessInterrupted: signals) {
            self.print(message, asJSON: arguments.flag("json"))
        }
    }

    /// - Returns: nil when a signal says that it is enough.
    private static func next(
        _ client: inout ControlClient, unlessInterrupted signals: borrowing SignalQueue
    ) throws(CommandFailure) -> [UInt8]? {
        do throws(CommandFailure) {
            return try client.receive(nil, unlessInterrupted: signals)
        } catch {
            throw .failed("\(client.path): the connection to the supervisor is lost")
        }
    }

    private static func print(_ message: [UInt8], asJSON: Bool) {
        message.withUnsafeBytes { bytes in
            guard let params = ParamsReader.value("params", in: bytes) else { return }
            if asJSON {
                Terminal.write(Array(params) + [0x0A], to: 1)
            } else if let event = try? JSONValue(parsing: params) {
                Terminal.print(self.line(event))
            }
        }
    }

    /// As a line of the log: `2026-01-31T12:00:00.000Z worker.exited worker_id=worker_1… reason=crashed`.
    static func line(_ event: JSONValue) -> String {
        let fields = (event["data"]?.objectValue ?? []).map { member in
            " \(Excerpt.escaped(member.name))=\(self.text(member.value))"
        }
        let time = Excerpt.escaped(event["timestamp"]?.stringValue ?? "")
        return "\(time) \(Excerpt.escaped(event["topic"]?.stringValue ?? ""))\(fields.joined())"
    }

    private static func text(_ value: JSONValue) -> String {
        guard let text = value.stringValue else {
            return Excerpt.escaped(value.text, limit: Excerpt.lineBytes)
        }
        let escaped = Excerpt.escaped(text, limit: Excerpt.lineBytes)
        let isPlain = !escaped.isEmpty && escaped.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D }
        return isPlain ? escaped : JSONValue.string(escaped).text
    }
}
