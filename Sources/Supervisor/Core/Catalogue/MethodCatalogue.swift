import Protocol

/// Every method of the contract (protocol §3), with all that is said of it: what `rpc.discover` and the reference
/// are made of. Tests hold it against dispatch: who answers, who may ask, and what nobody has told it.
enum MethodCatalogue {
    static let all = Self.calls + Self.pipelines + Self.information + Self.configuration + Self.operators

    static func method(named name: String) -> MethodDescription? { self.all.first { $0.name == name } }

    /// Schemas that several methods, or readers, refer to by name.
    enum Component: String, CaseIterable {
        case executeResult = "ExecuteResult"
        case retrievedDocument = "RetrievedDocument"
        case citation = "Citation"
        case methodFigures = "MethodFigures"
        case poolStatus = "PoolStatus"
        case workerStatus = "WorkerStatus"
        case cacheFigures = "CacheFigures"
        case configurationResult = "ConfigurationResult"
        case rolloutResult = "RolloutResult"

        var schema: JSONSchema {
            switch self {
            case .executeResult: MethodCatalogue.executeResult
            case .retrievedDocument: MethodCatalogue.retrievedDocument
            case .citation: MethodCatalogue.citation
            case .methodFigures: MethodCatalogue.methodFigures
            case .poolStatus: MethodCatalogue.poolStatus
            case .workerStatus: MethodCatalogue.workerStatus
            case .cacheFigures: MethodCatalogue.cacheFigures
            case .configurationResult:
                .object([.must("applied", .array(.string)), .must("restart_required", .array(.string))])
            case .rolloutResult: MethodCatalogue.rolloutResult
            }
        }
    }
}

// MARK: - Answers of workers

extension MethodCatalogue {
    private static let executeResult = JSONSchema.object([
        .must("success", .boolean), .must("technique", .string), .must("query", .string),
        .must("answer", .string), .must("retrieved_documents", .array(.reference(.retrievedDocument))),
        .must("citations", .array(.reference(.citation))),
        .must(
            "performance",
            .object([
                .must("total_time_ms", .number), .must("retrieval_time_ms", .number),
                .must("generation_time_ms", .number),
            ])),
        .must("metadata", .object),
    ])

    private static let retrievedDocument = JSONSchema.object([
        .must("id", .string), .must("document_id", .string), .must("chunk_index", .count),
        .must("source", .string), .may("title", .string), .must("content", .string),
        .must("score", .number), .must("score_type", .string), .must("rank", .integer),
        .must("metadata", .object),
    ])

    private static let citation = JSONSchema.object([
        .must("n", .integer), .must("document_id", .string), .must("chunk_index", .count),
        .must("source", .string), .must("span", .object([.must("start", .count), .must("end", .count)])),
        .must("quote", .string),
    ])

    private static let methodFigures = JSONSchema.object([
        .must("count", .count), .must("errors", .count), .must("avg_time_ms", .number),
        .must("min_time_ms", .number), .must("max_time_ms", .number), .must("p50_time_ms", .number),
        .must("p95_time_ms", .number), .must("p99_time_ms", .number),
    ])
}

// MARK: - Answers of the supervisor

extension MethodCatalogue {
    private static let poolStatus = JSONSchema.object([
        .must("name", .string), .must("status", .word("healthy", "degraded", "unavailable")),
        .must("strategy", .word(of: Configuration.Strategy.allCases.map(\.rawValue))),
        .must("min_workers", .count), .must("max_workers", .count), .must("queue_depth", .count),
        .must("workers", .array(.reference(.workerStatus))),
    ])

    private static let workerStatus = JSONSchema.object([
        .must("slot", .count), .must("worker_id", .orNull(.string)), .must("pid", .orNull(.integer)),
        .must(
            "state",
            .word(
                "preparing", "starting", "ready", "busy", "draining", "terminating", "backoff", "quarantined",
                "ejected")),
        .must("reason", .orNull(.string)), .must("in_flight", .count),
        .must("max_concurrency", .orNull(.integer)), .must("served", .count), .must("errors", .count),
        .must("p50_ms", .orNull(.number)), .must("p99_ms", .orNull(.number)),
        .must("rss_bytes", .orNull(.integer)), .must("cpu_percent", .orNull(.number)),
        .must("uptime_seconds", .orNull(.number)), .must("restarts", .count),
        .must("deaths", .map(.count)), .must("noise_lines", .count), .must("late_replies", .count),
        .must(
            "last_exit",
            .orNull(
                .object([
                    .must("code", .orNull(.integer)), .must("signal", .orNull(.string)),
                    .must("reason", .string), .must("at", .time), .may("stderr_tail", .string),
                ]))),
    ])

    private static let cacheFigures = JSONSchema.object([
        .must("entries", .count), .must("bytes", .count), .must("max_entries", .count),
        .must("max_bytes", .count), .must("hits", .count), .must("misses", .count),
        .must("expirations", .count), .must("evictions", .count), .must("refusals", .count),
        .may("stale_hits", .count), .may("coalesced", .count), .may("rejections", .count),
        .may("models", .count),
    ])

    private static let rolloutResult = JSONSchema.object([
        .must(
            "workers",
            .array(
                .object([
                    .must("pool", .string), .must("slot", .count), .must("worker_id", .orNull(.string)),
                    .must("replaced_by", .orNull(.string)),
                ]))),
        .must("restart_required", .array(.string)),
    ])

    static let caches = JSONSchema.object([
        .must("embedding", .reference(.cacheFigures)), .must("response", .reference(.cacheFigures)),
    ])
}
