import Protocol

/// Which pool a call is for, and why it is refused.
extension SupervisorCore {
    enum Destination {
        case pool(Int)
        case refused(RPCError)
    }

    /// The first pool whose methods match and that offers the technique, where one is named.
    func route(_ incoming: IncomingRequest) -> Destination {
        // No array of pools is made on the way of a call whose technique does not matter.
        let first = incoming.withMethod { method in
            self.pools.indices.first { self.pools[$0].serves(method) }
        }
        guard let first else {
            if self.methods.isForEveryWorker(incoming.method) { return .pool(0) }
            return .refused(.methodNotFound(incoming.methodText, nearest: self.nearestMethod(incoming)))
        }
        guard self.techniquesMatter, let technique = self.technique(of: incoming) else {
            return .pool(first)
        }
        let matching = incoming.withMethod { method in
            self.pools.indices.filter { self.pools[$0].serves(method) }
        }
        return self.route(technique, among: matching)
    }

    /// - Parameters:
    ///   - name: a technique, or the id of a pipeline, which goes where its technique does.
    ///   - matching: pools that serve the method, at least one.
    func route(_ name: String, among matching: [Int]) -> Destination {
        let technique = self.pipelines.first { $0.id == name && $0.isReady }?.technique ?? name
        if let name = self.configuration.loadBalancer.techniqueRouting[technique],
            let pool = matching.first(where: { self.pools[$0].configuration.name == name })
        {
            return .pool(pool)
        }
        // A pool that has declared none takes any.
        let offering = matching.first { self.pools[$0].techniques?.contains(technique) ?? true }
        if let offering { return .pool(offering) }
        let known = matching.flatMap { self.pools[$0].techniques ?? [] }
        if let base = Pipeline.technique(ofID: name), known.contains(String(base)) {
            return .refused(Self.noPipeline(name, known: self.pipelines.map(\.id)))
        }
        return .refused(Self.noWorker(forTechnique: technique, known: known))
    }

    /// Of the methods that somebody answers.
    private func nearestMethod(_ incoming: IncomingRequest) -> String? {
        let answered = self.methods.knownNames.filter { name in
            Array(name.utf8).withUnsafeBytes { name in
                if case .local = self.methods.route(name) { return true }
                return self.pools.contains { $0.serves(name) }
            }
        }
        return NearestName.find(incoming.methodText, in: answered)
    }

    /// `params.technique` of the methods that have one; nil when it is absent or no string.
    func technique(of incoming: IncomingRequest) -> String? {
        let hasTechnique = incoming.withMethod {
            $0.elementsEqual("rag.execute".utf8) || $0.elementsEqual("rag.stream".utf8)
        }
        guard hasTechnique, let params = incoming.params else { return nil }
        return ParamsReader.string("technique", in: params)
    }

    static func noWorker(forTechnique technique: String, known: [String]) -> RPCError {
        let nearest = NearestName.find(technique, in: known)
        let hint = nearest.map { "; did you mean \($0)?" } ?? ""
        return RPCError(
            .workerUnavailable, reason: "no_worker_for_technique",
            "Pipeline not found: \(Excerpt.escaped(technique))\(hint)",
            details: nearest.map { [.init("nearest", .string($0))] } ?? [])
    }

    /// - Parameter connection: whose call it is; what it may see depends on that.
    func noHealthyWorker(_ pool: Int, _ connection: ConnectionToken?) -> RPCError {
        let isOperator = connection.map { self.connections[$0].isOperator } ?? false
        let cause = self.pools[pool].hopelessReason(forOperator: isOperator)
        let lacksResources = self.pools[pool].lacksResources
        return RPCError(
            lacksResources ? .insufficientResources : .workerUnavailable,
            reason: lacksResources ? "spawn_failed" : "no_healthy_worker",
            lacksResources
                ? "No worker can be started: the system has run out of something"
                : "No available workers and max limit reached",
            retryable: true, retryAfterMilliseconds: RestartPolicy.quarantineRetryAlone / .milliseconds(1),
            recovery: .restartWorker,
            details: [
                .init("pool", .string(self.pools[pool].configuration.name)),
                .init("cause", .string(cause)),
            ])
    }

    func overloaded(_ pool: Int) -> RPCError {
        let depth = self.requests.queued(in: pool)
        return RPCError(
            .workerOverloaded, reason: "queue_full", "The queue is full: \(depth) calls wait",
            retryable: true,
            retryAfterMilliseconds: self.retryAfter(pool),
            details: [
                .init("pool", .string(self.pools[pool].configuration.name)),
                .init("queue_depth", .integer(depth)),
            ])
    }

    /// How long the queue probably takes to get shorter: its length by the rate at which slots come free.
    private func retryAfter(_ pool: Int) -> Int64 {
        let tokens = self.pools[pool].slots.compactMap(\.process)
        let slots = tokens.reduce(0) { $0 + self.workers[$1].maxConcurrency }
        let measured = tokens.compactMap { self.workers[$0].latency.expected(at: self.now) }
        guard slots > 0, !measured.isEmpty else { return 1000 }
        let mean = measured.reduce(0, +) / Double(measured.count)
        let wait = mean * Double(self.requests.queued(in: pool)) / Double(slots) / 1e6
        return Int64(min(max(wait, 10), 60_000))
    }

    var shuttingDown: RPCError {
        RPCError(
            .workerUnavailable, reason: "shutting_down", "The supervisor is shutting down", retryable: true)
    }
}
