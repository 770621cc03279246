import Glibc
import Protocol

/// What a worker does with a call, wherever the call came from.
final class WorkerService: Sendable {
    let workerID: String
    let capabilities: WorkerCapabilities
    let holder: IndexHolder
    let metrics: CallMetrics
    let embedding: WorkerEmbedding
    private let pipelines = PipelineRegistry()
    private let capabilitiesText: CapabilitiesText
    private let started: MonotonicClock

    init(
        workerID: String, capabilities: WorkerCapabilities, holder: IndexHolder,
        embedding: WorkerEmbedding = .latentSemantic
    ) {
        self.workerID = workerID
        self.capabilities = capabilities
        self.capabilitiesText = CapabilitiesText(capabilities)
        self.holder = holder
        self.embedding = embedding
        self.started = .now
        self.metrics = CallMetrics(methods: WorkerCapabilities.methods, now: self.started)
    }

    /// Answers a method that only reads, at once, with JSON text; nil when the method is another.
    ///
    /// - Parameter active: calls that are not answered yet.
    func immediateResult(of method: String, params: JSONValue?, active: Int) throws(RPCError) -> [UInt8]? {
        if method == "health.check" { return self.health(active: active) }
        return try self.smallResult(of: method, params: params)?.bytes
    }

    private func smallResult(of method: String, params: JSONValue?) throws(RPCError) -> JSONValue? {
        switch method {
        case "ping":
            return ["message": "pong", "timestamp": .double(Double(WallClock.milliseconds) / 1000)]
        case "metrics.get":
            return self.metrics.report(
                try MetricsParameters(forWorker: params), workerID: self.workerID, now: .now)
        case "pipeline.initialize":
            return try self.pipelines.initialize(params)
        case "pipeline.destroy":
            return try self.pipelines.destroy(params)
        case "cache.clear":
            return ["cleared": [:]]  // it has no cache of its own
        default:
            return nil
        }
    }

    /// Methods that compute, and so run beside the reading thread.
    static let computing: Set<String> = ["rag.execute", "rag.stream", "embedding.create"]

    /// Answers one of the methods that compute, but for `rag.stream`, and appends the result.
    ///
    /// - Parameter checkpoint: asked between the steps; throws when the caller has given up.
    func perform(
        _ call: IncomingCall, checkpoint: () throws(RPCError) -> Void, to output: inout [UInt8]
    ) throws(RPCError) {
        switch call.method {
        case "rag.execute": try self.execute(call, checkpoint: checkpoint, to: &output)
        case "embedding.create": try self.createEmbeddings(call, checkpoint: checkpoint, to: &output)
        default: preconditionFailure("\(call.method) is none of these")
        }
    }

    private func execute(
        _ call: IncomingCall, checkpoint: () throws(RPCError) -> Void, to output: inout [UInt8]
    ) throws(RPCError) {
        let result = try self.answer(call, checkpoint: checkpoint) { (_, _) throws(RPCError) in }
        let timestamp = Timestamp.text(millisecondsSince1970: WallClock.milliseconds)
        result.write(workerID: self.workerID, timestamp: timestamp, to: &output)
    }

    /// - Parameter onRetrieved: is given what was asked for and found, before an answer is made of it.
    func answer(
        _ call: IncomingCall, checkpoint: () throws(RPCError) -> Void,
        onRetrieved: (ExecuteParameters, [RetrievedChunk]) throws(RPCError) -> Void
    ) throws(RPCError) -> ExecuteResult {
        let resolved = self.pipelines.resolve(try call.decodedParams())
        let parameters = try ExecuteParameters(call.fallback?.adapt(resolved.params) ?? resolved.params)
        try checkpoint()
        let snapshot = self.holder.current()
        guard let index = snapshot.index else { throw snapshot.missing }
        var result = try QuestionAnswering(parameters: parameters, index: index, embedding: self.embedding)
            .run(since: call.received, checkpoint: checkpoint) { (chunks) throws(RPCError) in
                try onRetrieved(parameters, chunks)
            }
        result.pipelineID = resolved.id
        if let fallback = call.fallback { result.degraded.append(fallback.words) }
        return result
    }

    private func createEmbeddings(
        _ call: IncomingCall, checkpoint: () throws(RPCError) -> Void, to output: inout [UInt8]
    ) throws(RPCError) {
        let parameters = try EmbeddingParameters(call.params)
        try checkpoint()
        let snapshot = self.holder.current()
        guard let provider = self.embedding.provider(snapshot.index) else {
            guard let index = snapshot.index else { throw snapshot.missing }
            throw self.embedding.mismatch(with: index) ?? .noVectors
        }
        try parameters.checkModel(provider.model)
        let vectors: [[Float]]
        do throws(EmbeddingFailure) {
            vectors = try provider.embed(
                parameters.texts, isCancelled: { WorkerEmbedding.isOver(checkpoint) })
        } catch {
            try checkpoint()
            throw error.rpcError
        }
        EmbeddingResult(model: provider.model, vectors: vectors).write(to: &output)
    }

    /// Why this worker is not all that it should be; empty when it is.
    private func complaints(_ snapshot: IndexHolder.Snapshot) -> [String] {
        [
            snapshot.failure.map { RPCError.unusableIndex($0).message },
            snapshot.index.flatMap { self.embedding.mismatch(with: $0)?.message },
            self.embedding.complaint(),
        ].compactMap { $0 }
    }

    /// The techniques that the index, if there is one, can serve.
    private func usable(_ snapshot: IndexHolder.Snapshot) -> [Technique] {
        guard let index = snapshot.index else { return [] }
        let isMismatch = self.embedding.mismatch(with: index) != nil
        return Technique.allCases.filter { !isMismatch || !$0.usesVectors }
    }

    /// A usual answer has 1,200.
    private static let healthBytes = 2_048

    private func health(active: Int) -> [UInt8] {
        let snapshot = self.holder.current()
        let complaints = self.complaints(snapshot)
        let totals = self.metrics.totals
        let pipelines = self.usable(snapshot).map(\.rawValue) + self.pipelines.names
        var output: [UInt8] = []
        output.reserveCapacity(Self.healthBytes)
        var object = ObjectWriter(&output)
        func add(_ name: StaticString, _ value: JSONValue) { object.add(name, value, to: &output) }
        add("status", complaints.isEmpty ? "healthy" : "degraded")
        add("worker_id", .string(self.workerID))
        add("pid", .integer(getpid()))
        add("uptime_seconds", .milliseconds(self.started.millisecondsAgo / 1000))
        add("request_count", .integer(totals.requests))
        add("error_count", .integer(totals.errors))
        add("error_rate", .double(CallHistory.rate(totals.errors, of: totals.requests)))
        add("active_requests", .integer(active))
        add("memory_usage", ProcessMemory.report())
        add("pipelines_loaded", .array(pipelines.map { .string($0) }))
        add("dependencies", self.dependencies(snapshot))
        object.addName("capabilities", to: &output)
        output.append(contentsOf: self.capabilitiesText.bytes(for: snapshot.index))
        if !complaints.isEmpty { add("reasons", .array(complaints.map { .string($0) })) }
        object.close(&output)
        return output
    }
}

/// The time of day.
enum WallClock {
    /// Milliseconds since 1970.
    static var milliseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}

extension IndexHolder.Snapshot {
    /// What a call that needs an index is answered with while there is none: 5001.
    fileprivate var missing: RPCError {
        .unusableIndex(self.failure ?? IndexError(reason: .missing, path: ""))
    }
}

extension RPCError {
    /// The index was made without vectors, and its model is what embeds.
    fileprivate static let noVectors = RPCError(
        .missingDependencies, reason: "no_vectors_in_index",
        "The index has no vectors: make it anew with `worker index` without `--dimensions 0`",
        recovery: .fallbackTechnique)
}
