@testable import Supervisor

/// P3: when a worker dies, its calls fail or are put up for another try in the same instant, and no other call
/// fails. A try again is for idempotent methods only, once, on another worker, never on two at a time; and a request
/// that cost two workers their lives is not sent to a third.
struct CrashJudge: Judge {
    static let promise = Promise.crashIsolated
    private var lost: [(nonce: Int64, worker: WorkerToken)] = []
    private var gone: Set<Int> = []
    /// Calls that workers had at the end of the last tick, and those that they were sent in this one.
    private var inFlight = 0
    private var retries = 0
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .exited(let worker, _, let calls), .cutOff(let worker, let calls):
            self.lost += calls.map { ($0.nonce, worker) }
            if !calls.isEmpty { self.isTested = true }
        case .answered(let answer, let nonce?):
            guard answer.code == 2001, let call = ledger.calls[nonce] else { return nil }
            guard let (fate, step) = call.fate, fate == .lost, call.isInBatch || step == ledger.step else {
                return "\(call.method) failed with 2001, but its worker lives"
            }
        case .sent(let nonce, let worker, _, _):
            self.inFlight += 1
            guard let call = ledger.calls[nonce] else { return nil }
            if call.isPoison { return "\(call.method) cost two workers their lives, and is sent to a third" }
            guard call.attempts > 0 else { return nil }
            if call.lastWorker == worker {
                return "\(call.method) was tried again on the worker that lost it"
            }
            return Self.judge(secondTry: call, ledger)
        case .clientLeft(let index): self.gone.insert(index)
        default: break
        }
        return nil
    }

    private static func judge(secondTry call: Ledger.Call, _ ledger: Ledger) -> String? {
        if !call.isIdempotent { return "\(call.method) was sent a second time" }
        if call.attempts >= ledger.configuration.retry.maxAttempts {
            return "\(call.method) was sent \(call.attempts + 1) times"
        }
        switch call.fate?.0 {
        case .lost, .unreadable: return nil
        case .result, .error: return "\(call.method) was sent again after its answer"
        case nil: return "\(call.method) is tried by two workers at the same time"
        }
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        let retry = ledger.configuration.retry
        let budget = max(retry.budgetMin, Int(retry.budgetRatio * Double(self.inFlight)))
        let retries = core.requests.retriesOpen
        if retries > self.retries, retries > budget {
            return "\(retries) calls are tried again, of \(self.inFlight) in flight"
        }
        self.retries = retries
        self.inFlight = ledger.processes.values.reduce(0) { $0 + $1.open.count }
        guard !self.lost.isEmpty else { return nil }
        defer { self.lost = [] }
        return self.judgeLost(ledger, core)
    }

    private func judgeLost(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        var waiting = Array(repeating: 0, count: core.pools.count)
        for (nonce, worker) in self.lost {
            // The answer to a call of a batch waits for the others.
            guard let call = ledger.calls[nonce], !call.isAnswered, !call.isInBatch,
                !self.gone.contains(call.client)
            else { continue }
            guard call.isIdempotent else {
                return "\(call.method) was not failed when its worker died"
            }
            guard call.lastWorker == worker, case .worker(let pool) = call.expectation else { continue }
            waiting[pool] += 1
        }
        for pool in waiting.indices where waiting[pool] > core.requests.queued(in: pool) {
            return "\(waiting[pool]) calls of a dead worker are neither failed nor waiting"
        }
        return nil
    }
}
