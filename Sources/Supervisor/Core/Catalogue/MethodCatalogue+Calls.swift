import Protocol

/// What workers answer, or have a part in.
extension MethodCatalogue {
    private static let executeParams: [MethodDescription.Param] = [
        .must("technique", .string, "a technique that a pool offers, or a pipeline_id"),
        .must("query", .string(1...8000), "the question"),
        .may(
            "options",
            .object([
                .may("top_k", .integer(1...100)), .may("filters", .object), .may("min_score", .number),
                .may("generate", .boolean), .may("include_documents", .boolean),
                .may("max_tokens", .integer), .may("temperature", .number), .may("explain", .boolean),
            ]), "how to retrieve and to answer; an unknown key is refused"),
        .may("technique_params", .object, "what the technique takes besides"),
    ]

    private static let executeErrors: [ErrorCode] =
        MethodDescription.errorsOfCalls + [
            .pipelineNotFound, .pipelineExecutionError, .missingDependencies, .databaseConnectionError,
        ]

    static let calls: [MethodDescription] = [
        MethodDescription(
            name: "rag.execute", summary: "Answer a question out of the documents, with citations",
            answerer: .worker, pace: .call, params: Self.executeParams, result: .reference(.executeResult),
            errors: Self.executeErrors),
        MethodDescription(
            name: "rag.stream",
            summary: "The same in chunks: documents, the answer as it grows, then the whole result",
            answerer: .worker, pace: .stream, params: Self.executeParams,
            result: .reference(.executeResult), errors: Self.executeErrors),
        MethodDescription(
            name: "embedding.create",
            summary: "The vectors of texts, in their order: what the cache has, and one worker for the rest",
            answerer: .worker, pace: .call,
            params: [
                .must("input", .either(.string, .array(.string)), "one text, or at most 10,000"),
                .may("model", .string, "absent: the pool's"),
            ],
            result: .object([
                .must("model", .string), .must("dimensions", .count),
                .must("embeddings", .array(.array(.number))),
            ]), errors: MethodDescription.errorsOfCalls + [.missingDependencies, .databaseConnectionError]),
        MethodDescription(
            name: "health.check", summary: "Ask one worker how it is",
            answerer: .worker, pace: .call,
            result: .object([
                .must("status", .word("healthy", "degraded", "unhealthy")), .may("worker_id", .string),
                .may("pid", .integer), .may("uptime_seconds", .number), .may("request_count", .count),
                .may("error_count", .count), .may("error_rate", .number), .may("active_requests", .count),
                .may("memory_usage", .object), .may("pipelines_loaded", .array(.string)),
                .may("dependencies", .map(.object)), .may("capabilities", .object),
            ]), errors: MethodDescription.errorsOfCalls),
        MethodDescription(
            name: "metrics.get",
            summary: "How many calls, how many errors, how long they took: of one worker, or of the pool",
            answerer: .worker, pace: .call,
            params: [
                .may(
                    "time_range", .word("1m", "5m", "15m", "1h", "6h", "24h", "7d"),
                    "absent: since the start or the last reset"),
                .may(
                    "scope", .word("worker", "pool"),
                    "pool: answered by the supervisor at once, of all its calls; absent: worker"),
                .may("reset", .boolean, "forget the figures after reading them; for operators only"),
            ],
            result: .object([
                .must("total_requests", .count), .must("total_errors", .count), .must("error_rate", .number),
                .must("by_type", .map(.reference(.methodFigures))), .may("worker_id", .string),
                .may("workers", .map(.object)),
            ]), errors: MethodDescription.errorsOfCalls + [.notPermitted]),
    ]

    static let pipelines: [MethodDescription] = [
        MethodDescription(
            name: "pipeline.initialize",
            summary: "Set a technique up at every worker that offers it, now and later: all of them or none",
            answerer: .workers, pace: .waiting, isForOperators: true,
            params: [
                .must("technique", .string, "one that a pool offers"),
                .may("config", .object, "what the technique is set up with"),
            ],
            result: .object([.must("pipeline_id", .string)]),
            errors: MethodDescription.errorsOfWaiting + [.pipelineInitializationFailed]),
        MethodDescription(
            name: "pipeline.destroy", summary: "Undo a pipeline.initialize",
            answerer: .workers, pace: .waiting, isForOperators: true,
            params: [.must("pipeline_id", .string, "as pipeline.initialize gave it")], result: .null,
            errors: MethodDescription.errorsOfWaiting + [.pipelineNotFound]),
        MethodDescription(
            name: "pipeline.list", summary: "The pipelines that were initialized",
            answerer: .supervisor, pace: .immediate,
            result: .array(
                .object([
                    .must("pipeline_id", .string), .must("technique", .string), .must("state", .string),
                ]))),
    ]
}
