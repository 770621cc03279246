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
    private var failedNewcomers = 0
    private var reloads = 0
    private(set) var isTested = false

    init(_ configuration: Configuration) {
        self.reached = configuration.pools.map { _ in 0 }
    }

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .reloaded: self.reloads += 1
        case .spawned(let worker):
            guard ledger.processes[worker]?.isDoomedNewcomer == true else { return nil }
            self.failedNewcomers += 1
            guard self.failedNewcomers > self.reloads else { return nil }
            return "a rollout went on after its first new process had failed"
        case .answered(let answer, let nonce?):
            guard ledger.weather.profile == .exchange, let code = answer.code, ledger.stoppedAt == nil,
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
        guard ledger.weather.profile == .exchange, ledger.stoppedAt == nil else { return nil }
        for pool in core.pools.indices {
            let least = core.pools[pool].minWorkers
            var ready = 0
            for slot in core.pools[pool].slots.indices {
                guard let worker = core.pools[pool].slots[slot].process else { continue }
                if core.workers[worker].takesCalls || core.workers[worker].life.isHeld { ready += 1 }
            }
            if ready < min(least, self.reached[pool]) {
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
        return self.judgeDismissals(ledger, core)
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
            if departure == .scaledDown, !ledger.weather.isResized, !process.open.isEmpty {
                return "a worker with \(process.open.count) calls is taken away"
            }
        }
        return nil
    }
}
