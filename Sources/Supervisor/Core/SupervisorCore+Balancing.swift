import Protocol

/// Which worker of its pool a call goes to.
extension SupervisorCore {
    /// Bytes that may wait for a worker before it gets more: one that stopped reading is not buffered for, nor
    /// are notifications, which take no slot.
    private static let inputHighWatermark = 1 << 20

    /// A ready worker of the pool with a free slot, by the strategy; nil when there is none.
    ///
    /// - Parameters:
    ///   - avoided: a worker that lost the call before: another one has to be found.
    ///   - turning: false only asks, and leaves the turn where it is.
    mutating func chooseWorker(
        in pool: Int, avoiding avoided: WorkerToken?, turning: Bool, _ effects: some SupervisorEffects
    ) -> WorkerToken? {
        self.collectCandidates(pool, effects)
        if let avoided, self.holds(.retryElsewhere) {
            self.candidates.removeAll { $0.token == avoided }
        }
        guard turning else { return self.candidates.first?.token }
        let chosen =
            switch self.configuration.loadBalancer.strategy {
            case .roundRobin: Balancer.roundRobin(self.candidates, turn: &self.pools[pool].turn)
            case .leastLoad: Balancer.leastLoad(self.candidates, turn: &self.pools[pool].turn)
            case .performanceBased: Balancer.performanceBased(self.candidates, random: &self.random)
            }
        return chosen?.token
    }

    /// Whether the pool has another worker that takes calls, be it busy.
    func hasWorker(otherThan worker: WorkerToken, in pool: Int) -> Bool {
        self.pools[pool].slots.contains { slot in
            guard let process = slot.process else { return false }
            return process != worker && self.workers[process].takesCalls
        }
    }

    private mutating func collectCandidates(_ pool: Int, _ effects: some SupervisorEffects) {
        self.candidates.removeAll(keepingCapacity: true)
        let needsLatency = self.configuration.loadBalancer.strategy == .performanceBased
        for slot in self.pools[pool].slots.indices {
            guard let token = self.pools[pool].slots[slot].process, self.workers[token].takesCalls else {
                continue
            }
            let inFlight = self.requests.inFlight(on: token)
            let maxConcurrency = self.workers[token].maxConcurrency
            guard inFlight < maxConcurrency else { continue }
            guard effects.inputBacklog(of: token) <= Self.inputHighWatermark else {
                self.isHeldBack = true
                continue
            }
            self.candidates.append(
                Balancer.Candidate(
                    token: token, slot: slot, inFlight: inFlight, maxConcurrency: maxConcurrency,
                    latency: needsLatency ? self.expectedLatency(of: token) : nil))
        }
    }

    /// The worker's measured latency, or the age of its oldest open call when that is more already.
    private func expectedLatency(of worker: WorkerToken) -> Double? {
        let measured = self.workers[worker].latency.expected(at: self.now)
        guard let oldest = self.requests.oldestDispatch(on: worker) else { return measured }
        return max(measured ?? 0, Double(self.now.duration(since: oldest)))
    }
}
