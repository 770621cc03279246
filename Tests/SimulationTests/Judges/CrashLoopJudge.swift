import Protocol

@testable import Supervisor

/// P4: a slot whose processes die before they have answered a call is tried again by the backoff, and rarely once it
/// is quarantined; never earlier, never later. The other slots serve all there is.
struct CrashLoopJudge: Judge {
    static let promise = Promise.crashLoopBounded

    private struct Slot {
        var current: WorkerToken?
        /// Starts in a row that failed, and when, within the window.
        var failed = 0
        var times: [Instant] = []
        var isQuarantined = false
        var diedAt: Instant?
        /// How long after that the next one may start.
        var wait: ClosedRange<Nanoseconds> = 0...0
    }

    private let configuration: Configuration
    private var slots: [[Slot]]
    private var proven: Set<WorkerToken> = []
    private(set) var isTested = false

    init(_ configuration: Configuration) {
        self.configuration = configuration
        self.slots = configuration.pools.map { Array(repeating: Slot(), count: $0.maxWorkers) }
    }

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .spawned(let worker): return self.spawned(worker, ledger)
        case .spawnFailed(let worker, let process), .exited(let worker, let process, _):
            guard process.role == .serving, self.slots[process.pool][process.slot].current == worker else {
                return nil  // another one fills the slot
            }
            self.died(process, ledger)
        case .workerWrote(_, let worker):
            guard let process = ledger.processes[worker], process.hasAnsweredCall,
                self.proven.insert(worker).inserted
            else { return nil }
            self.forgive(process.pool, process.slot)
        case .answered(let answer, let nonce?):
            guard let call = ledger.calls[nonce] else { return nil }
            return Self.judge(answer, call, ledger)
        default: break
        }
        return nil
    }

    private mutating func forgive(_ pool: Int, _ slot: Int) {
        self.slots[pool][slot].failed = 0
        self.slots[pool][slot].times = []
        self.slots[pool][slot].isQuarantined = false
    }

    private mutating func died(_ process: Ledger.Process, _ ledger: Ledger) {
        let (now, settings) = (ledger.now, self.configuration.restart)
        if let readyAt = process.readyAt, now.duration(since: readyAt) >= .seconds(10) {
            self.forgive(process.pool, process.slot)
        }
        var slot = self.slots[process.pool][process.slot]
        slot.diedAt = now
        slot.current = nil
        let shortest = 1 - settings.jitter
        func jittered(_ wait: Nanoseconds) -> ClosedRange<Nanoseconds> {
            Nanoseconds(Double(wait) * shortest) - 1...wait
        }
        if process.hasAnsweredCall {
            slot.wait =
                jittered(settings.backoffInitial).lowerBound...max(.seconds(1), settings.backoffInitial)
        } else {
            slot.failed += 1
            slot.times = slot.times.filter { now.duration(since: $0) <= settings.window } + [now]
            let isTooOften = min(slot.failed, slot.times.count) >= settings.maxDeaths
            slot.isQuarantined = slot.isQuarantined || isTooOften
            let doubled = settings.backoffInitial << Int64(min(slot.failed - 1, 20))
            slot.wait =
                slot.isQuarantined
                ? .seconds(5) ... .seconds(60) : jittered(min(doubled, settings.backoffMax))
            if slot.failed > 1 { self.isTested = true }
        }
        self.slots[process.pool][process.slot] = slot
    }

    private mutating func spawned(_ worker: WorkerToken, _ ledger: Ledger) -> String? {
        guard let process = ledger.processes[worker], process.role == .serving else { return nil }
        while self.slots[process.pool].count <= process.slot { self.slots[process.pool].append(Slot()) }
        if process.isAlone { self.forgive(process.pool, process.slot) }
        if process.isNewcomer { return nil }
        let slot = self.slots[process.pool][process.slot]
        self.slots[process.pool][process.slot].current = worker
        self.slots[process.pool][process.slot].diedAt = nil
        guard let diedAt = slot.diedAt else { return nil }
        let waited = ledger.now.duration(since: diedAt)
        // A pool that is made smaller and larger again has forgotten what was before.
        guard !ledger.weather.isResized,
            waited < slot.wait.lowerBound || waited > slot.wait.upperBound + ledger.lag
        else { return nil }
        return "slot \(process.slot) was tried again after \(waited.inMilliseconds) ms, not "
            + "\(slot.wait.lowerBound.inMilliseconds) to \(slot.wait.upperBound.inMilliseconds), after "
            + "\(slot.failed) failed starts"
    }

    /// Who fills a slot is the core's to say: a newcomer does when it is ready, or when the old one is gone.
    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        for pool in core.pools.indices {
            while self.slots[pool].count < core.pools[pool].slots.count { self.slots[pool].append(Slot()) }
            for slot in core.pools[pool].slots.indices {
                switch core.pools[pool].slots[slot].state {
                case .running(let worker):
                    self.slots[pool][slot].current = worker
                    self.slots[pool][slot].diedAt = nil
                case .unwanted: self.slots[pool][slot] = Slot()
                case .empty, .backoff, .quarantined: break
                }
            }
        }
        return nil
    }

    private static func judge(_ answer: Answer, _ call: Ledger.Call, _ ledger: Ledger) -> String? {
        guard case .worker(let pool) = call.expectation else { return nil }
        // The answer to a call of a batch may be older: it waits for the others.
        if answer.reason == "no_healthy_worker", !call.isInBatch {
            let isReady = ledger.processes.values.contains {
                $0.pool == pool && $0.role == .serving && $0.readyAt != nil && !$0.isLeaving
                    && $0.cutOffAt == nil && !$0.hangs(at: ledger.now)
            }
            if isReady { return "no_healthy_worker, though a worker is ready" }
        }
        guard ledger.weather.profile == .crashLoop, let code = answer.code, ledger.stoppedAt == nil,
            ![-32800, 1002].contains(code)
        else { return nil }
        return "the others did not serve \(call.method): \(answer.error?.text ?? "")"
    }

    func audit(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        for pool in self.slots {
            for slot in pool {
                guard let diedAt = slot.diedAt else { continue }
                let waited = ledger.now.duration(since: diedAt)
                if waited > slot.wait.upperBound + ledger.lag {
                    return "a slot was given up: it is empty for \(waited.inSeconds) s"
                }
            }
        }
        return nil
    }
}
