import Protocol

/// What the commands for operators use.
extension MethodCatalogue {
    private static let worker = MethodDescription.Param.must(
        "worker", .either(.string, .integer), "an id, a unique prefix of one, a pid or a slot number")

    static let operators: [MethodDescription] = [
        MethodDescription(
            name: "supervisor.restart",
            summary: "Exchange workers for new ones, one after the other, without losing a call",
            answerer: .supervisor, pace: .waiting, isForOperators: true,
            params: [
                .may("worker", .either(.string, .integer), "only this one; absent: all"),
                .may("rolling", .boolean, "all, as without worker"),
                .may("wait", .boolean, "answer when the last replaced process has exited"),
            ],
            result: .reference(.rolloutResult),
            errors: MethodDescription.errorsOfWaiting + [.workerOverloaded]),
        MethodDescription(
            name: "supervisor.reload",
            summary: "Read the configuration again, and exchange all workers",
            answerer: .supervisor, pace: .waiting, isForOperators: true,
            params: [.may("wait", .boolean, "answer when the last replaced process has exited")],
            result: .reference(.rolloutResult),
            errors: MethodDescription.errorsOfWaiting + [.workerOverloaded, .invalidConfiguration]),
        MethodDescription(
            name: "supervisor.drain", summary: "Give a worker no new calls, and leave it alone",
            answerer: .supervisor, pace: .waiting, isForOperators: true, params: [Self.worker],
            result: .object([
                .must("pool", .string), .must("slot", .count), .must("worker_id", .string),
                .must("pid", .orNull(.integer)), .must("in_flight", .count),
            ]), errors: [.workerUnavailable]),
        MethodDescription(
            name: "supervisor.scale",
            summary: "Set how many workers a pool has, until the next reload",
            answerer: .supervisor, pace: .waiting, isForOperators: true,
            params: [
                .must("workers", .integer(1...Configuration.workersPerPool), "at least and at most"),
                .may("pool", .string, "may be left out where there is one"),
            ],
            result: .object([
                .must("pool", .string), .must("min_workers", .integer), .must("max_workers", .integer),
            ]), errors: [.workerUnavailable]),
        MethodDescription(
            name: "supervisor.stop", summary: "Finish what is under way and end",
            answerer: .supervisor, pace: .waiting, isForOperators: true,
            result: .object([.must("stopping", .boolean), .must("pid", .integer)])),
        MethodDescription(
            name: "supervisor.explain",
            summary: "What would become of a call that came now, and why; nothing is changed",
            answerer: .supervisor, pace: .immediate, isForOperators: true,
            params: [
                .must("method", .string, "the call's method"),
                .may("params", .either(.object, .array(.any)), "the call's params"),
            ], result: Self.explanation),
        MethodDescription(
            name: "cache.clear",
            summary: "Forget what is cached, here and at every worker",
            answerer: .workers, pace: .waiting, isForOperators: true,
            params: [
                .may(
                    "cache_type",
                    .word(of: SupervisorCore.CacheType.allCases.map(\.rawValue) + ["all"]), "absent: all")
            ],
            result: .object([
                .must("cleared", .map(.count)), .may("unanswered", .array(.string)),
                .may(
                    "failed",
                    .array(.object([.must("worker_id", .string), .must("error", .object)]))),
            ]), errors: MethodDescription.errorsOfWaiting),
    ]

    private static let explanation = JSONSchema.object([
        .must("outcome", .word(of: CallExplanation.Outcome.allCases.map(\.rawValue))),
        .must("error", .orNull(.object)), .must("pool", .orNull(.string)),
        .must("technique", .orNull(.string)), .must("strategy", .orNull(.string)),
        .must("worker_id", .orNull(.string)),
        .must(
            "candidates",
            .orNull(
                .array(
                    .object([
                        .must("worker_id", .string), .must("slot", .count), .must("state", .string),
                        .must("in_flight", .count), .must("max_concurrency", .count),
                        .must("latency_ms", .orNull(.number)), .must("unread_bytes", .count),
                        .must("ejected_for_ms", .orNull(.count)), .must("eligible", .boolean),
                        .must("why", .orNull(.string)),
                    ])))),
        .must(
            "queue",
            .orNull(
                .object([
                    .must("depth", .count), .must("size", .count), .must("position", .orNull(.integer)),
                ]))),
        .must(
            "cache",
            .orNull(
                .object([
                    .must("use", .string), .must("why", .string), .must("age_ms", .orNull(.count)),
                ]))),
        .must(
            "timeouts",
            .orNull(
                .object([
                    .must("call_ms", .count), .must("queue_ms", .orNull(.count)), .must("max_ms", .count),
                ]))),
        .must("idempotent", .orNull(.boolean)),
    ])
}
