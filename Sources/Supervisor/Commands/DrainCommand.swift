import Protocol

/// `supervisor drain WORKER`
enum DrainCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let (result, _) = try ControlClient.operate(
            arguments, "supervisor.drain", [.init("worker", .string(arguments.positionals[0]))])
        let worker = Excerpt.escaped(result["worker_id"]?.stringValue ?? "")
        let pid = result["pid"]?.integerValue.map { ", pid \($0)" } ?? ""
        let calls = result["in_flight"]?.integerValue ?? 0
        Terminal.print(
            "\(worker)\(pid) takes no new calls; it has \(calls) in flight, and stays up until "
                + "`supervisor restart \(worker)`\n")
    }
}
