import Protocol

/// `supervisor scale N [--pool P]`
enum ScaleCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let text = arguments.positionals[0]
        guard let workers = Int64(text), workers >= 1 else {
            throw .usage("N: expected a number of workers, at least 1, found \(Excerpt.escaped(text))")
        }
        let params: [JSONValue.Member] = [
            .init("workers", .integer(workers)), .init("pool", .string(arguments.value("pool"))),
        ]
        let (result, _) = try ControlClient.operate(arguments, "supervisor.scale", params)
        let pool = Excerpt.escaped(result["pool"]?.stringValue ?? "")
        Terminal.print(
            "pool \(pool): \(workers) \(workers == 1 ? "worker" : "workers") until the next reload or restart "
                + "of the supervisor\n")
    }
}
