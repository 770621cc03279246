import Protocol

@testable import Supervisor

/// P11: while workers are exchanged, added and taken away no call fails for it, no pool has fewer ready workers than
/// it must have, and none has more than one process too many; the first new process that fails ends a rollout.
struct ExchangeJudge: Judge {
    static let promise = Promise.nothingIsLost
    /// What a client can get although nothing is lost: its own time is over, it cancelled, or it asks too much.
    private static let harmless: Set<Int64> = [-32800, 1002, 2002, 2003]
    /// The size that a pool's ready workers have reached.
    private var reached: [Int]
    private var dismissed: Set<WorkerToken> = []
    /// Calls of the workers that operators look at.
    private var held: [WorkerToken: Int] = [:]
    /// Since when pools have had too little of everything.
    private var saturatedSince: [Instant?]
    private var failedNewcomers = 0
    private var rollouts = 0
    private(set) var isTested = false

    init(_ configuration: Configuration) {
        self.reached = configuration.pools.map { _ in 0 }
        self.saturatedSince = configuration.pools.map { _ in nil }
    }

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .rolloutAsked: self.rollouts += 1
        case .spawned(let worker):
            guard ledger.processes[worker]?.isDoomedNewcomer == true else { return nil }
            self.failedNewcomers += 1
            guard self.failedNewcomers > self.rollouts else { return nil }
            return "a rollout went on after its first new process had failed"
        case .answered(let answer, let nonce?):
            guard ledger.weather.exchangesWorkers, let code = answer.code, ledger.stoppedAt == nil,
                let call = ledger.calls[nonce], case .worker = call.expectation,
                !Self.harmless.contains(code), answer.reason != "queue_timeout"
            else { return nil }
            return "\(call.method) failed while workers were exchanged: \(answer.error?.text ?? "")"
        default: break
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        guard ledger.weather.exchangesWorkers, ledger.stoppedAt == nil else { return nil }
        for pool in core.pools.indices {
            let least = core.pools[pool].minWorkers
            var ready = 0
            for slot in core.pools[pool].slots.indices {
                guard let worker = core.pools[pool].slots[slot].process else { continue }
                if core.workers[worker].takesCalls || core.workers[worker].life.isHeld { ready += 1 }
                guard core.workers[worker].life.isHeld else { continue }
                let open = core.requests.inFlight(on: worker)
                if let before = self.held[worker], open > before {
                    return "a worker that an operator looks at got a call"
                }
                self.held[worker] = open
            }
            // An operator may have made the pool smaller and larger in one tick.
            if !ledger.weather.isResized, ready < min(least, self.reached[pool]) {
                return "pool \(pool) has \(ready) ready workers, and must have \(least)"
            }
            self.reached[pool] = ready
            let staying = ledger.processes.keys.count { token in
                core.workers.contains(token) && core.workers[token].pool == pool
                    && core.workers[token].role == .serving && core.workers[token].life.departure == nil
            }
            if staying > core.pools[pool].size + 1 {
                return "pool \(pool) has \(staying) processes, and needs \(core.pools[pool].size)"
            }
        }
        return self.judgeGrowth(ledger, core) ?? self.judgeDismissals(ledger, core)
    }

    /// A pool whose calls wait while every worker has all that it takes gets one more, if it may have more.
    private mutating func judgeGrowth(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        for pool in core.pools.indices {
            guard core.requests.queued(in: pool) > 0, core.pools[pool].size < core.pools[pool].maxWorkers,
                Self.isFull(pool, ledger, core)
            else {
                self.saturatedSince[pool] = nil
                continue
            }
            let since = self.saturatedSince[pool] ?? ledger.now
            self.saturatedSince[pool] = since
            let waited = ledger.now.duration(since: since)
            if waited > core.configuration.scaling.upAfter + 2 * ledger.lag {
                return "pool \(pool) has had no slot free for \(waited.inMilliseconds) ms, and does not grow"
            }
        }
        return nil
    }

    private static func isFull(_ pool: Int, _ ledger: Ledger, _ core: borrowing SupervisorCore) -> Bool {
        var hasReadyWorker = false
        for slot in core.pools[pool].slots.indices {
            guard let worker = core.pools[pool].slots[slot].process else { continue }
            if core.workers[worker].life.state == .starting { return false }
            guard core.workers[worker].takesCalls, let process = ledger.processes[worker] else { continue }
            hasReadyWorker = true
            if process.open.count < process.concurrency { return false }
        }
        return hasReadyWorker
    }

    /// A pool that shrinks by itself lets its busy workers be.
    private mutating func judgeDismissals(
        _ ledger: Ledger, _ core: borrowing SupervisorCore
    ) -> String? {
        for (token, process) in ledger.processes where core.workers.contains(token) {
            guard let departure = core.workers[token].life.departure, departure.isOrderly,
                self.dismissed.insert(token).inserted
            else { continue }
            self.isTested = true
            // It is taken away before it could fail: the rollout goes on.
            if departure == .scaledDown, process.isDoomedNewcomer { self.failedNewcomers -= 1 }
            if departure == .scaledDown, !ledger.weather.isResized, !process.open.isEmpty {
                return "a worker with \(process.open.count) calls is taken away"
            }
        }
        return nil
    }
}
