import Protocol

/// `supervisor restart [WORKER | --rolling] [--wait]`
enum RestartCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let worker = arguments.positionals.first
        guard worker == nil || !arguments.flag("rolling") else {
            throw .usage("expected either WORKER or --rolling, found both")
        }
        let wait = arguments.flag("wait")
        let params: [JSONValue.Member] = [
            .init("worker", .string(worker)), .init("rolling", worker == nil ? true : .null),
            .init("wait", .bool(wait)),
        ]
        let (result, _) = try ControlClient.operate(
            arguments, "supervisor.restart", params, waits: wait)
        Terminal.print(Rollouts.text(result, wait: wait))
    }
}

/// `supervisor reload [--wait]`
enum ReloadCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let wait = arguments.flag("wait")
        let (result, _) = try ControlClient.operate(
            arguments, "supervisor.reload", [.init("wait", .bool(wait))], waits: wait)
        Terminal.print(Rollouts.text(result, wait: wait))
        let keys = (result["restart_required"]?.arrayValue ?? []).compactMap(\.stringValue)
        guard !keys.isEmpty else { return }
        Terminal.print(
            "needs a restart of the supervisor: \(keys.map { Excerpt.escaped($0) }.joined(separator: ", "))\n"
        )
    }
}

/// What became of the workers of a restart or a reload, in words.
enum Rollouts {
    /// - Parameter result: of `supervisor.restart` or `supervisor.reload`.
    static func text(_ result: JSONValue, wait: Bool) -> String {
        let workers = result["workers"]?.arrayValue ?? []
        guard !workers.isEmpty else { return "no worker to replace\n" }
        let count = workers.count == 1 ? "1 worker" : "\(workers.count) workers"
        guard wait else {
            return "\(count) to be replaced\(workers.count == 1 ? "" : ", one after the other"); "
                + "`supervisor status` shows how far it is\n"
        }
        let lines = workers.map { worker in
            "pool \(self.word(worker["pool"])), slot \(self.word(worker["slot"])): "
                + "\(self.word(worker["replaced_by"])) has replaced \(self.word(worker["worker_id"]))\n"
        }
        return lines.joined() + "\(count) replaced\n"
    }

    private static func word(_ value: JSONValue?) -> String {
        guard let value, !value.isNull else { return "no process" }
        return Excerpt.escaped(value.stringValue ?? value.text)
    }
}
