import Protocol

/// Which worker of its pool a call goes to.
extension SupervisorCore {
    /// Bytes that may wait for a worker before it gets more: one that stopped reading is not buffered for, nor
    /// are notifications, which take no slot.
    private static let inputHighWatermark = 1 << 20

    /// A worker of the pool that is ready and has a free slot, by the strategy; nil when there is none.
    ///
    /// A worker on probation goes before all others: by its record no strategy would ever choose it. A
    /// notification proves nothing and does not go there.
    ///
    /// - Parameter avoided: a worker that lost the call: it does not go back there.
    mutating func chooseWorker(
        in pool: Int, avoiding avoided: WorkerToken?, isNotification: Bool,
        _ effects: inout some SupervisorEffects
    ) -> WorkerToken? {
        let avoided = self.holds(.retryElsewhere) ? avoided : nil
        if avoided == nil, self.holds(.slotLimit) {
            if self.rostersAreStale { self.makeRosters() }
            switch self.seatedChoice(in: pool, effects) {
            case .nobody: return nil
            case .worker(let worker): return worker
            case .unclear: break
            }
        }
        let onProbation = self.collectCandidates(pool, avoiding: avoided, &effects)
        if let onProbation, !isNotification { return onProbation }
        let chosen =
            switch self.configuration.loadBalancer.strategy {
            case .roundRobin: Balancer.roundRobin(self.candidates, turn: &self.pools[pool].turn)
            case .leastLoad: Balancer.leastLoad(self.candidates, turn: &self.pools[pool].turn)
            case .performanceBased: self.fasterOfTwo()
            }
        return chosen?.token
    }

    /// What a roster has to say.
    private enum SeatedChoice {
        case worker(WorkerToken)
        /// Nobody has room.
        case nobody
        /// All workers have to be looked at: one is ejected, or the one to be chosen does not read.
        case unclear
    }

    /// The choice among the workers that have room.
    private mutating func seatedChoice(in pool: Int, _ effects: some SupervisorEffects) -> SeatedChoice {
        guard !self.requests.rosters[pool].hasEjected else { return .unclear }
        guard self.requests.rosters[pool].openCount > 0 else { return .nobody }
        let slot: Int?
        switch self.configuration.loadBalancer.strategy {
        case .roundRobin: slot = self.requests.rosters[pool].next(turn: self.pools[pool].turn)
        case .leastLoad: slot = self.requests.rosters[pool].leastLoaded(turn: self.pools[pool].turn)
        case .performanceBased: slot = self.fasterOfTwo(in: pool)
        }
        guard let slot else { return .nobody }
        let worker = self.requests.rosters[pool].worker(in: slot)
        guard effects.inputBacklog(of: worker) <= Self.inputHighWatermark || !self.holds(.inputWatermark)
        else { return .unclear }
        // Chance has no turn.
        if self.configuration.loadBalancer.strategy != .performanceBased { self.pools[pool].turn = slot + 1 }
        return .worker(worker)
    }

    /// Who is in balancing may have changed: the rosters are made anew. O(workers)
    private mutating func makeRosters() {
        self.rostersAreStale = false
        let knowsLoads = self.configuration.loadBalancer.strategy == .leastLoad
        for pool in self.pools.indices {
            self.requests.beginRoster(
                of: pool, slots: self.pools[pool].slots.count, knowsLoads: knowsLoads)
            for slot in self.pools[pool].slots.indices {
                guard let worker = self.pools[pool].slots[slot].process, self.workers[worker].takesCalls
                else { continue }
                guard self.workers[worker].ejection.term == nil else {
                    self.requests.noteEjected(in: pool)
                    continue
                }
                self.requests.seat(
                    worker, in: pool, slot: slot, maxConcurrency: self.workers[worker].maxConcurrency)
            }
        }
    }

    /// The rosters seat those who may be given calls, and nobody else.
    func checkRosters() {
        guard !self.rostersAreStale else { return }
        for pool in self.pools.indices {
            let roster = self.requests.seated(in: pool)
            var expected: [WorkerToken] = []
            for worker in self.pools[pool].slots.compactMap(\.process) where self.workers[worker].takesCalls {
                if self.workers[worker].ejection.term != nil {
                    precondition(self.requests.rosters[pool].hasEjected, "a roster of doubtful workers")
                } else {
                    expected.append(worker)
                }
            }
            precondition(roster == expected, "\(roster) seated, \(expected) in balancing")
        }
    }

    /// Whether the pool has another worker that is in balancing, be it busy.
    func hasWorker(otherThan worker: WorkerToken, in pool: Int) -> Bool {
        self.pools[pool].slots.contains { slot in
            guard let process = slot.process else { return false }
            return process != worker && self.isInBalancing(process)
        }
    }

    func isInBalancing(_ worker: WorkerToken) -> Bool {
        self.workers[worker].takesCalls && self.workers[worker].ejection.term == nil
    }

    /// Finds the workers that the strategy may choose from.
    ///
    /// - Returns: a worker on probation that may be given its one call.
    private mutating func collectCandidates(
        _ pool: Int, avoiding avoided: WorkerToken?, _ effects: inout some SupervisorEffects
    ) -> WorkerToken? {
        self.recallEjected(in: pool, &effects)
        self.candidates.removeAll(keepingCapacity: true)
        var onProbation: WorkerToken?
        for slot in self.pools[pool].slots.indices {
            guard let token = self.pools[pool].slots[slot].process, token != avoided else { continue }
            if let obstacle = self.obstacle(for: token, effects) {
                if obstacle == .doesNotRead { self.isHeldBack = true }
            } else if self.workers[token].ejection.admission(at: self.now) == .one {
                onProbation = onProbation ?? token
            } else {
                self.candidates.append(
                    Balancer.Candidate(
                        token: token, slot: slot, inFlight: self.requests.inFlight(on: token),
                        maxConcurrency: self.workers[token].maxConcurrency))
            }
        }
        return onProbation
    }

    /// Why a worker gets no call now.
    enum Obstacle: String {
        /// It starts, leaves, or is looked at by an operator.
        case notReady = "not_ready"
        case ejected
        /// All its slots are taken.
        case full
        /// More than the watermark waits for it to read.
        case doesNotRead = "does_not_read"
    }

    /// - Parameter isTrusted: judge it as if it were not ejected.
    /// - Returns: nil when it may be given one.
    func obstacle(
        for worker: WorkerToken, isTrusted: Bool = false, _ effects: some SupervisorEffects
    ) -> Obstacle? {
        guard self.workers[worker].takesCalls else { return .notReady }
        guard isTrusted || self.workers[worker].ejection.admission(at: self.now) != .none else {
            return .ejected
        }
        let isFull = self.requests.inFlight(on: worker) >= self.workers[worker].maxConcurrency
        guard !isFull || !self.holds(.slotLimit) else { return .full }
        let isReading = effects.inputBacklog(of: worker) <= Self.inputHighWatermark
        return isReading || !self.holds(.inputWatermark) ? nil : .doesNotRead
    }
}

// MARK: - By measured latency

extension SupervisorCore {
    /// How long a worker that joins others gets less than its share.
    static let slowStart = Nanoseconds.seconds(10)

    /// Of two candidates by chance the one with the lower expected wait.
    ///
    /// In its first seconds a newcomer yields to the other one, less and less often: it may have caches to fill,
    /// and has nothing to be judged by.
    private mutating func fasterOfTwo() -> Balancer.Candidate? {
        guard let pair = Balancer.pair(of: self.candidates.count, random: &self.random) else {
            return self.candidates.first
        }
        return self.faster(self.candidates[pair.left], self.candidates[pair.right])
    }

    /// The same among those of a pool that have room.
    private mutating func fasterOfTwo(in pool: Int) -> Int? {
        let count = self.requests.rosters[pool].openCount
        guard let pair = Balancer.pair(of: count, random: &self.random) else {
            return self.requests.rosters[pool].open(at: 0)
        }
        guard let left = self.seatedCandidate(pair.left, pool),
            let right = self.seatedCandidate(pair.right, pool)
        else { preconditionFailure("\(pair) of \(count) workers that have room") }
        return self.faster(left, right).slot
    }

    private func seatedCandidate(_ rank: Int, _ pool: Int) -> Balancer.Candidate? {
        guard let slot = self.requests.rosters[pool].open(at: rank) else { return nil }
        let worker = self.requests.rosters[pool].worker(in: slot)
        return Balancer.Candidate(
            token: worker, slot: slot, inFlight: self.requests.inFlight(on: worker),
            maxConcurrency: self.workers[worker].maxConcurrency)
    }

    private mutating func faster(
        _ left: Balancer.Candidate, _ right: Balancer.Candidate
    ) -> Balancer.Candidate {
        let pair = (left: left, right: right)
        let isLeftFaster = self.expectedWait(pair.left) <= self.expectedWait(pair.right)
        let (chosen, other) = isLeftFaster ? (pair.left, pair.right) : (pair.right, pair.left)
        let share = self.share(of: chosen.token)
        guard share < self.share(of: other.token) else { return chosen }
        return self.chance() < share ? chosen : other
    }

    /// How long one more call would probably take on the worker, in nanoseconds: its latency × (in flight + 1).
    private mutating func expectedWait(_ candidate: Balancer.Candidate) -> Double {
        let worker = candidate.token
        var latency = self.knownLatency(of: worker) ?? 1
        if let oldest = self.requests.oldestDispatch(on: worker) {
            // A call that is not over yet takes at least as long as it has taken.
            latency = max(latency, Double(self.now.duration(since: oldest)))
        }
        return latency * Double(candidate.inFlight + 1)
    }

    /// What was measured of the worker, else the median of its pool; nil when nobody has been measured.
    private mutating func knownLatency(of worker: WorkerToken) -> Double? {
        if let own = self.workers[worker].latency.expected(at: self.now) { return own }
        let pool = self.workers[worker].pool
        self.latencies.removeAll(keepingCapacity: true)
        for slot in self.pools[pool].slots.indices {
            guard let token = self.pools[pool].slots[slot].process, self.isInBalancing(token),
                let latency = self.workers[token].latency.expected(at: self.now)
            else { continue }
            self.latencies.append(latency)
        }
        return Balancer.median(&self.latencies)
    }

    /// What part of the calls that it would be chosen for a worker gets, 0...1.
    private func share(of worker: WorkerToken) -> Double {
        guard let joinedAt = self.workers[worker].joinedAt else { return 1 }
        return min(1, Double(self.now.duration(since: joinedAt)) / Double(Self.slowStart))
    }

    /// A worker takes calls from now on: slowly at first when others serve already. Workers that come up
    /// together, as those of a new pool do, all begin with their full share.
    mutating func beginSlowStart(_ worker: WorkerToken) {
        let othersServe = self.pools[self.workers[worker].pool].slots.contains { slot in
            guard let process = slot.process, process != worker, self.workers[process].takesCalls,
                let readyAt = self.workers[process].readyAt
            else { return false }
            return self.now.duration(since: readyAt) >= Self.slowStart
        }
        self.workers[worker].joinedAt = othersServe ? self.now : nil
    }

    /// A call ended that says nothing good of the worker's speed (it failed, or was given up on): the worker is
    /// at least that slow, and no faster than it was thought to be.
    mutating func noteNoFaster(than latency: Nanoseconds, _ worker: WorkerToken) {
        guard let known = self.knownLatency(of: worker), Double(latency) > known else { return }
        self.workers[worker].latency.record(latency, at: self.now)
    }
}
