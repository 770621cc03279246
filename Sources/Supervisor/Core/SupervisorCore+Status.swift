import Protocol

/// `supervisor.status`: what an operator sees.
extension SupervisorCore {
    /// How a pool, or all of them, are doing.
    enum Health: String {
        /// Every worker that is wanted at least is ready, and none is quarantined.
        case healthy
        case degraded
        /// A pool has no ready worker.
        case unavailable
    }

    /// - Parameter forOperator: others do not see what workers wrote to stderr.
    mutating func status(forOperator: Bool, _ effects: inout some SupervisorEffects) -> JSONValue {
        let healths = self.pools.indices.map { self.health(of: $0, forOperator: forOperator) }
        var pools: [JSONValue] = []
        for pool in self.pools.indices {
            pools.append(self.status(ofPool: pool, healths[pool].health, forOperator, &effects))
        }
        return [
            "status": .string(Self.overall(healths.map(\.health), phase: self.phase).rawValue),
            "reasons": .array((self.phaseReasons + healths.flatMap(\.reasons)).map { .string($0) }),
            "version": .string(ProductVersion.text),
            "pid": .integer(self.identity.pid),
            "uptime_seconds": .double(self.now.duration(since: self.startedAt).inSeconds.rounded()),
            "socket": .string(self.identity.socketPath),
            "connections": .integer(self.connections.count),
            "pools": .array(pools),
            "cache": ["embedding": self.embeddings.figures, "response": self.responses.figures],
        ]
    }

    private var phaseReasons: [String] {
        if case .draining(let reason) = self.phase { return ["stopping: \(reason)"] }
        return (self.rollouts.first.map { [self.progress(of: $0)] } ?? [])
            + (self.lastAbort.map { [$0] } ?? [])
    }

    private func progress(of rollout: Rollout) -> String {
        let kind = rollout.name
        guard rollout.hasBegun else { return "one more \(kind) waits" }
        let all = rollout.steps.count + rollout.remaining.count + (rollout.active == nil ? 0 : 1)
        return "\(kind) under way, \(rollout.steps.count) of \(all) workers replaced (\(rollout.origin))"
    }

    static func overall(_ healths: [Health], phase: Phase) -> Health {
        if healths.contains(.unavailable) { return .unavailable }
        return healths.contains(.degraded) || phase != .running ? .degraded : .healthy
    }

    func health(of pool: Int, forOperator: Bool) -> (health: Health, reasons: [String]) {
        let name = self.pools[pool].configuration.name
        let slots = self.pools[pool].slots
        var reasons: [String] = []
        if case .failed(let exit, _) = self.pools[pool].preparation {
            reasons.append("pool \(name): prepare \(Self.words(exit, forOperator))")
        }
        if case .running = self.pools[pool].preparation { reasons.append("pool \(name): being prepared") }
        for (index, slot) in slots.enumerated() {
            if let reason = self.trouble(slot, forOperator) {
                reasons.append("pool \(name), slot \(index): \(reason)")
            }
        }
        let ready = slots.count { slot in slot.process.map { self.isInBalancing($0) } ?? false }
        if ready == 0 { return (.unavailable, reasons) }
        let isWhole =
            ready >= self.pools[pool].minWorkers
            && !slots.contains { $0.isQuarantined || $0.policy.isFlapping(at: self.now) }
        return (isWhole ? .healthy : .degraded, reasons)
    }

    func isReady(_ slot: WorkerSlot) -> Bool {
        slot.process.map { self.workers[$0].takesCalls } ?? false
    }

    /// What is wrong with a slot, in a sentence; nil when nothing is.
    private func trouble(_ slot: WorkerSlot, _ forOperator: Bool) -> String? {
        let last = slot.lastExit.map { "the last process \(Self.words($0, forOperator))" } ?? ""
        switch slot.state {
        case .empty, .unwanted: return nil
        case .backoff: return "in backoff; \(last)"
        case .quarantined:
            return "quarantined after \(slot.policy.failedStartsInARow) failed starts in a row; \(last)"
        case .running(let worker):
            if self.workers[worker].life.isReady {
                if let term = self.workers[worker].ejection.term { return self.ejected(term) }
                return slot.policy.isFlapping(at: self.now) ? "dies again and again; \(last)" : nil
            }
            if self.workers[worker].life.isHeld {
                return "drained by an operator; restart it to bring it back"
            }
            let doing = self.workers[worker].life.departure.map { "leaving: \($0.rawValue)" } ?? "starting"
            return doing + (last.isEmpty ? "" : "; \(last)")
        }
    }

    private func ejected(_ term: Ejection.Term) -> String {
        let left = term.until.duration(since: self.now)
        guard left > 0 else { return "ejected for worker faults; on probation: its next call decides" }
        return "ejected for worker faults; tried again in \(Int(left.inSeconds.rounded(.up))) s"
    }

    /// How it ended, and the last line of its stderr; others than operators see neither that nor command lines.
    private static func words(_ exit: LastExit, _ forOperator: Bool) -> String {
        let sentence = exit.sentence(forOperator: forOperator)
        let line = exit.stderrTail.split(separator: "\n").last.map(String.init) ?? ""
        guard forOperator, !line.isEmpty else { return sentence }
        return "\(sentence): \(Excerpt.escaped(line, limit: 200))"
    }

    private mutating func status(
        ofPool pool: Int, _ health: Health, _ forOperator: Bool, _ effects: inout some SupervisorEffects
    ) -> JSONValue {
        var workers: [JSONValue] = []
        for slot in self.pools[pool].slots.indices where self.pools[pool].slots[slot].isWanted {
            workers.append(self.status(ofSlot: slot, in: pool, forOperator, &effects))
        }
        let configuration = self.pools[pool].configuration
        return [
            "name": .string(configuration.name),
            "status": .string(health.rawValue),
            "strategy": .string(self.configuration.loadBalancer.strategy.rawValue),
            "min_workers": .integer(self.pools[pool].minWorkers),
            "max_workers": .integer(self.pools[pool].maxWorkers),
            "queue_depth": .integer(self.requests.queued(in: pool)),
            "workers": .array(workers),
        ]
    }

    private mutating func status(
        ofSlot index: Int, in pool: Int, _ forOperator: Bool, _ effects: inout some SupervisorEffects
    ) -> JSONValue {
        let slot = self.pools[pool].slots[index]
        let process = slot.process.map { self.workers[$0] }
        var usage: ResourceUsage?
        if let token = slot.process { usage = effects.usage(of: token) }
        let inFlight = slot.process.map { self.requests.inFlight(on: $0) } ?? 0
        func milliseconds(_ quantile: Double) -> JSONValue {
            slot.latency.quantile(quantile).map { .double(Nanoseconds($0).inMilliseconds) } ?? .null
        }
        return [
            "slot": .integer(index),
            "worker_id": .string(process?.id),
            "pid": process?.pid.map { .integer($0) } ?? .null,
            "state": .string(self.stateName(slot)),
            "reason": self.stateReason(slot, in: pool, forOperator),
            "in_flight": .integer(inFlight),
            "max_concurrency": process.map { .integer($0.maxConcurrency) } ?? .null,
            "served": .integer(slot.served),
            "errors": .integer(slot.errors),
            "p50_ms": milliseconds(0.5),
            "p99_ms": milliseconds(0.99),
            "rss_bytes": usage.map { .integer($0.residentBytes) } ?? .null,
            "cpu_percent": usage.map { .double(($0.cpuPercent * 10).rounded() / 10) } ?? .null,
            "uptime_seconds": process.map {
                .double(self.now.duration(since: $0.startedAt).inSeconds.rounded())
            } ?? .null,
            "restarts": .integer(slot.restarts),
            "deaths": .object(
                DeathCause.allCases.map { .init($0.rawValue, .integer(slot.deaths[$0])) }),
            "noise_lines": .integer(slot.noiseLines),
            "late_replies": .integer(slot.lateReplies),
            "last_exit": slot.lastExit.map { Self.status(of: $0, forOperator) } ?? .null,
        ]
    }

    func stateName(_ slot: WorkerSlot) -> String {
        switch slot.state {
        case .empty, .unwanted:
            return self.phase == .running ? "preparing" : "terminating"
        case .backoff: return "backoff"
        case .quarantined: return "quarantined"
        case .running(let worker):
            switch self.workers[worker].life.state {
            case .starting: return "starting"
            case .ready:
                if self.workers[worker].ejection.term != nil { return "ejected" }
                return self.requests.inFlight(on: worker) > 0 ? "busy" : "ready"
            case .held, .draining: return "draining"
            case .terminating, .exited: return "terminating"
            }
        }
    }

    private func stateReason(_ slot: WorkerSlot, in pool: Int, _ forOperator: Bool) -> JSONValue {
        if case .failed(let exit, _) = self.pools[pool].preparation {
            return .string("prepare \(Self.words(exit, forOperator))")
        }
        if let worker = slot.process, let newcomer = self.newcomer(for: worker, in: pool) {
            return .string("is replaced by \(newcomer), which starts")
        }
        if let worker = slot.process, let departure = self.workers[worker].life.departure {
            return .string(departure.rawValue)
        }
        return .string(self.trouble(slot, forOperator))
    }

    /// The id of the process that is to take the worker's place.
    private func newcomer(for worker: WorkerToken, in pool: Int) -> String? {
        guard case .starting(let newcomer, old: worker)? = self.pools[pool].exchange?.stage else {
            return nil
        }
        return self.workers[newcomer].id
    }

    private static func status(of exit: LastExit, _ forOperator: Bool) -> JSONValue {
        var code = JSONValue.null
        var signal = JSONValue.null
        switch exit.status {
        case .exited(let number): code = .integer(number)
        case .signaled(let number): signal = .string(SignalName.text(number))
        case nil: break
        }
        let reason = forOperator || exit.status != nil ? exit.reason : "not_started"
        var members: [JSONValue.Member] = [
            .init("code", code), .init("signal", signal), .init("reason", .string(reason)),
            .init("at", .string(Timestamp.text(millisecondsSince1970: exit.at))),
        ]
        if forOperator { members.append(.init("stderr_tail", .string(exit.stderrTail))) }
        return .object(members)
    }
}
