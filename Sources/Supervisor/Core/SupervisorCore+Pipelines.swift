import Protocol

/// `pipeline.initialize`, `.destroy` and `.list`, and the workers that come later (protocol §3).
extension SupervisorCore {
    mutating func initializePipeline(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        guard let technique = try params.string("technique"), !technique.isEmpty else {
            throw .invalidParams("technique", "expected the name of a technique")
        }
        params.pass("config")
        try params.finish()
        // As it was written: a worker may tell numbers apart that we do not.
        let configuration = incoming.params.flatMap { ParamsReader.value("config", in: $0) }.map { Array($0) }
        let pools = try self.pools(offering: technique)
        let pipeline = try self.pipeline(technique, configuration, pools)
        if let known = self.pipelines.first(where: { $0.id == pipeline.id }) {
            if known.isReady {
                return self.answer(incoming, result: ["pipeline_id": .string(known.id)], &effects)
            }
            return self.join(incoming, metadata, pipeline: known.id)
        }
        guard self.pipelines.count < Pipeline.limit else {
            throw RPCError(
                .resourceExhausted, reason: "too_many_pipelines",
                "There are \(Pipeline.limit) pipelines already; destroy some")
        }
        guard pools.contains(where: { self.hasReadyWorker($0) }) else {
            throw self.noHealthyWorker(pools[0], incoming.caller.connection)
        }
        self.pipelines.append(pipeline)
        self.noteTechniques()
        let caller = self.waitingCaller(incoming, metadata)
        self.broadcast(
            "pipeline.initialize", pipeline.params, .initialize(pipeline.id), to: pools, caller: caller,
            within: self.configuration.timeouts.controlWait, &effects)
    }

    /// Pools in which the technique may be had.
    private func pools(offering technique: String) throws(RPCError) -> [Int] {
        let name = Array("rag.execute".utf8)
        let serving = name.withUnsafeBytes { name in self.pools.indices.filter { self.pools[$0].serves(name) }
        }
        let offering = serving.filter { self.pools[$0].techniques?.contains(technique) ?? true }
        if !offering.isEmpty { return offering }
        throw Self.noWorker(
            forTechnique: technique, known: serving.flatMap { self.pools[$0].techniques ?? [] })
    }

    /// - Parameter configuration: JSON text; nil where none is given.
    private mutating func pipeline(
        _ technique: String, _ configuration: [UInt8]?, _ pools: [Int]
    ) throws(RPCError) -> Pipeline {
        guard !technique.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }), technique.utf8.count <= 128 else {
            throw .invalidParams(
                "technique",
                "expected at most 128 bytes without control characters, found \(Excerpt.escaped(technique))")
        }
        var canonical: [UInt8] = []
        if let configuration, !configuration.elementsEqual("null".utf8) {
            guard configuration.first == UInt8(ascii: "{") else {
                throw .invalidParams("config", "expected an object")
            }
            guard configuration.count <= Pipeline.configurationBytes else {
                throw .invalidParams("config", "expected at most \(Pipeline.configurationBytes) bytes")
            }
            let isCanonical = configuration.withUnsafeBytes { self.canonical.append($0, to: &canonical) }
            guard isCanonical else {
                throw .invalidParams(
                    "config", "expected members that stand once, and whole Unicode characters")
            }
            // None is the same as an empty one.
            if canonical == Array("{}".utf8) { canonical = [] }
        }
        // Two configurations with one hash: the second goes on from there.
        var hash = XXHash64.hash(canonical)
        while true {
            let id = Pipeline.id(technique: technique, hash: hash)
            let other = self.pipelines.first { $0.id == id && $0.canonical != canonical }
            guard other != nil else {
                return Pipeline(
                    id: id, technique: technique, configuration: canonical.isEmpty ? [] : configuration ?? [],
                    canonical: canonical, pools: pools)
            }
            hash = hash &+ 1
        }
    }

    /// An operator's call, to be answered when workers have; nil: a notification.
    mutating func waitingCaller(_ incoming: IncomingRequest, _ metadata: RequestMetadata) -> RequestToken? {
        guard incoming.id != nil else { return nil }
        let request = self.register(
            incoming, metadata, incoming.method, pool: 0, timeout: self.configuration.timeouts.controlWait)
        self.requests.setDeadline(request, to: self.requests[request].deadline)
        return request
    }

    /// The same pipeline is being initialized: one more waits for that.
    private mutating func join(_ incoming: IncomingRequest, _ metadata: RequestMetadata, pipeline id: String)
    {
        guard let caller = self.waitingCaller(incoming, metadata) else { return }
        for broadcast in self.broadcasts.tokens {
            if case .initialize(id) = self.broadcasts[broadcast].purpose {
                self.broadcasts[broadcast].callers.append(caller)
                return
            }
        }
        preconditionFailure("a pipeline that nobody initializes")
    }

    /// All workers have answered, or had time to.
    ///
    /// - Returns: what the callers get.
    mutating func concludeInitialization(
        of id: String, _ replies: [(worker: WorkerToken, workerID: String, reply: Broadcast.Reply)],
        _ effects: inout some SupervisorEffects
    ) -> Result<JSONValue, RPCError> {
        guard let index = self.pipelines.firstIndex(where: { $0.id == id }) else {
            preconditionFailure("a pipeline that is gone while it is initialized")
        }
        if let error = Self.failure(of: id, replies) {
            let pools = self.pipelines[index].pools
            self.pipelines.remove(at: index)
            self.noteTechniques()
            effects.log(
                .warning, "pipeline.failed", ["pipeline_id": .string(id), "reason": .string(error.message)])
            self.tellToDestroy(id, pools, caller: nil, &effects)
            return .failure(error)
        }
        self.pipelines[index].isReady = true
        effects.log(
            .info, "pipeline.ready", ["pipeline_id": .string(id), "workers": .integer(replies.count)])
        return .success(["pipeline_id": .string(id)])
    }

    private static func failure(
        of id: String, _ replies: [(worker: WorkerToken, workerID: String, reply: Broadcast.Reply)]
    ) -> RPCError? {
        func error(_ reason: String, _ words: String, _ workerID: String, _ details: [JSONValue.Member] = [])
            -> RPCError
        {
            RPCError(
                .pipelineInitializationFailed, reason: reason, "Pipeline \(id) was not initialized: \(words)",
                recovery: .fallbackTechnique, workerID: workerID, details: details)
        }
        for (_, workerID, reply) in replies {
            switch reply {
            case .result: continue
            case .notKnown: return error("not_supported", "a worker does not know pipelines", workerID)
            case .none: return error("no_answer", "a worker did not answer in time", workerID)
            case .error(let object):
                let words = object["message"]?.stringValue ?? "a worker refused it"
                return error(
                    "worker_refused", Excerpt.escaped(words, limit: 200), workerID,
                    [.init("worker_error", object)])
            }
        }
        if replies.isEmpty { return error("no_worker", "every worker that was asked is gone", "") }
        return nil
    }

    // MARK: Destroy and list

    mutating func destroyPipeline(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        guard let id = try params.string("pipeline_id") else {
            throw .invalidParams("pipeline_id", "expected the id of a pipeline")
        }
        try params.finish()
        guard let index = self.pipelines.firstIndex(where: { $0.id == id && $0.isReady }) else {
            throw Self.noPipeline(id, known: self.pipelines.map(\.id))
        }
        let pools = self.pipelines.remove(at: index).pools
        self.noteTechniques()
        effects.log(
            .info, "pipeline.destroyed",
            ["pipeline_id": .string(id), "by": .string(self.origin(of: incoming))])
        self.tellToDestroy(id, pools, caller: self.waitingCaller(incoming, metadata), &effects)
    }

    private mutating func tellToDestroy(
        _ id: String, _ pools: [Int], caller: RequestToken?, _ effects: inout some SupervisorEffects
    ) {
        let params: JSONValue = ["pipeline_id": .string(id)]
        self.broadcast("pipeline.destroy", params.bytes, .destroy(id), to: pools, caller: caller, &effects)
    }

    static func noPipeline(_ id: String, known: [String]) -> RPCError {
        let nearest = NearestName.find(id, in: known)
        let hint = nearest.map { "; did you mean \($0)?" } ?? ""
        return RPCError(
            .pipelineNotFound, reason: "unknown_pipeline",
            "Pipeline not found: \(Excerpt.escaped(id))\(hint)",
            recovery: .fallbackTechnique, details: nearest.map { [.init("nearest", .string($0))] } ?? [])
    }

    /// `pipeline.list`.
    var pipelineList: JSONValue {
        .array(
            self.pipelines.map {
                [
                    "pipeline_id": .string($0.id), "technique": .string($0.technique),
                    "state": .string($0.state),
                ]
            })
    }

    // MARK: Workers that come later

    /// A worker has become ready: it is told of the pipelines there are, before it gets its first call.
    mutating func replayPipelines(to worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        for pipeline in self.pipelines where pipeline.pools.contains(self.workers[worker].pool) {
            self.broadcast(
                "pipeline.initialize", pipeline.params, .replay(pipeline.id), toOne: worker,
                within: self.configuration.timeouts.controlWait, &effects)
        }
    }

    mutating func concludeReplay(
        of id: String, _ replies: [(worker: WorkerToken, workerID: String, reply: Broadcast.Reply)],
        _ effects: inout some SupervisorEffects
    ) {
        guard let error = Self.failure(of: id, replies), let worker = replies.first?.worker,
            let index = self.pipelines.firstIndex(where: { $0.id == id })
        else { return }
        if self.workers.contains(worker) { self.pipelines[index].failedOn.insert(worker) }
        effects.log(
            .error, "pipeline.replay_failed",
            [
                "pipeline_id": .string(id), "worker_id": .string(error.workerID ?? ""),
                "error": .string(error.message),
            ])
    }

    mutating func forgetFailures(of worker: WorkerToken) {
        for index in self.pipelines.indices { self.pipelines[index].failedOn.remove(worker) }
    }
}
