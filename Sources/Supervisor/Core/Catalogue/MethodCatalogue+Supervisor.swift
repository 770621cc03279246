import Protocol

/// What the supervisor answers itself.
extension MethodCatalogue {
    static let information: [MethodDescription] = [
        MethodDescription(
            name: "ping", summary: "Whether the supervisor answers",
            answerer: .supervisor, pace: .immediate,
            result: .object([.must("message", .word("pong")), .must("timestamp", .number)])),
        MethodDescription(
            name: "system.info", summary: "What runs here: versions, the machine, pools, methods, techniques",
            answerer: .supervisor, pace: .immediate,
            result: .object([
                .must("version", .string), .must("protocol_version", .string), .must("pid", .integer),
                .must("host", .string), .must("cores", .integer), .must("memory_bytes", .integer),
                .must("uptime_seconds", .number),
                .must(
                    "pools",
                    .array(
                        .object([
                            .must("name", .string), .must("strategy", .string), .must("min_workers", .count),
                            .must("max_workers", .count), .must("ready_workers", .count),
                            .must("methods", .array(.string)), .must("techniques", .array(.string)),
                        ]))),
                .must("methods", .array(.string)), .must("techniques", .array(.string)),
            ])),
        MethodDescription(
            name: "health.detailed",
            summary: "How the pools, their workers, and what these depend on are",
            answerer: .supervisor, pace: .immediate, result: Self.detailedHealth),
        MethodDescription(
            name: "supervisor.status", summary: "The pools and their workers, with figures",
            answerer: .supervisor, pace: .immediate,
            result: .object([
                .must("status", .word("healthy", "degraded", "unavailable")),
                .must("reasons", .array(.string)), .must("version", .string), .must("pid", .integer),
                .must("uptime_seconds", .number), .must("socket", .string), .must("connections", .count),
                .must("pools", .array(.reference(.poolStatus))), .must("cache", Self.caches),
            ])),
        MethodDescription(
            name: "events.subscribe",
            summary: "Be told of events, by notifications `event {topic, timestamp, data}`",
            answerer: .supervisor, pace: .immediate,
            params: [
                .must(
                    "topics", .array(.string, atLeast: 1),
                    "topics, or globs of them such as worker.*; added to those in force")
            ],
            result: .object([.must("topics", .array(.string))]), errors: [.notPermitted]),
        MethodDescription(
            name: "events.unsubscribe", summary: "Be told no more",
            answerer: .supervisor, pace: .immediate,
            params: [.may("topics", .array(.string), "patterns as they were given; absent: all")],
            result: .object([.must("topics", .array(.string))])),
        MethodDescription(
            name: "rpc.discover", summary: "This document: the methods as OpenRPC",
            answerer: .supervisor, pace: .immediate, result: .object),
        MethodDescription(
            name: "$/cancelRequest", summary: "End a call of this connection; it is answered with −32800",
            answerer: .supervisor, pace: .notification,
            params: [.must("id", .either(.string, .number), "the call's id")], result: .null),
        MethodDescription(
            name: "notifications/cancelled", summary: "The same in another spelling",
            answerer: .supervisor, pace: .notification,
            params: [
                .must("requestId", .either(.string, .number), "the call's id"),
                .may("reason", .string, "not looked at"),
            ], result: .null),
    ]

    private static let detailedHealth = JSONSchema.object([
        .must("status", .word("healthy", "degraded", "unavailable")),
        .must(
            "workers",
            .array(
                .object([
                    .must("worker_id", .string), .must("pool", .string), .must("slot", .count),
                    .must("pid", .orNull(.integer)), .must("state", .string),
                    .must("health", .orNull(.word("healthy", "degraded", "unhealthy"))),
                    .must("checked_seconds_ago", .orNull(.number)), .must("failed_checks", .count),
                    .must("in_flight", .count), .must("uptime_seconds", .number),
                ]))),
        .must(
            "dependencies",
            .map(
                .object([
                    .must("status", .word("healthy", "degraded", "unavailable", "unknown")),
                    .must("checked_seconds_ago", .number), .must("workers", .map(.object)),
                ]))),
        .must(
            "queue",
            .object([
                .must("depth", .count), .must("size_per_pool", .count), .must("pools", .map(.count)),
            ])),
        .must("cache", Self.caches), .must("uptime_seconds", .number),
    ])

    /// The sections of a configuration, which these methods take as params, out of the code that reads them.
    private static let sections = (Configuration().document.objectValue ?? []).map { member in
        let isList = member.value.arrayValue != nil
        return MethodDescription.Param.may(
            member.name, isList ? .array(.any) : .object, "as in the configuration file")
    }

    static let configuration: [MethodDescription] = [
        MethodDescription(
            name: "config.validate", summary: "Judge a configuration, or a part of one, and change nothing",
            answerer: .supervisor, pace: .immediate, params: Self.sections,
            result: .object([
                .must("valid", .boolean),
                .must(
                    "errors",
                    .array(
                        .object([
                            .must("path", .string), .must("message", .string), .may("suggestion", .string),
                        ]))),
            ])),
        MethodDescription(
            name: "config.update",
            summary: "Change the configuration that runs: objects merge, null resets, arrays replace",
            answerer: .supervisor, pace: .waiting, isForOperators: true, params: Self.sections,
            result: .reference(.configurationResult),
            errors: MethodDescription.errorsOfWaiting + [.invalidConfiguration]),
        MethodDescription(
            name: "config.reload", summary: "Read the configuration again, as at the start",
            answerer: .supervisor, pace: .waiting, isForOperators: true,
            result: .reference(.configurationResult),
            errors: MethodDescription.errorsOfWaiting + [.invalidConfiguration]),
    ]
}
