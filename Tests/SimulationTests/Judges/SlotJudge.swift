@testable import Supervisor

/// P5: a worker has as many calls as it takes, and the core's count is exactly the number of calls that it was sent
/// and has not answered. One that goes on with a cancelled call beyond its grace gets no more calls and is gone in
/// time.
struct SlotJudge: Judge {
    static let promise = Promise.hungWorkerBounded
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        guard case .sent(let nonce, let worker, _, _) = observation else { return nil }
        guard let process = ledger.processes[worker] else { return "a call for a worker that is gone" }
        guard process.readyAt != nil, !process.isLeaving, process.cutOffAt == nil else {
            return "a call for a worker that takes none"
        }
        let open = process.open.count + 1
        if open > process.concurrency { return "\(open) calls at a worker that takes \(process.concurrency)" }
        guard process.hangs(at: ledger.now) else { return nil }
        return "\(ledger.calls[nonce]?.method ?? "") was sent to a worker that hangs"
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        for (token, process) in ledger.processes where process.role == .serving {
            let isHeld = core.workers.contains(token) && core.workers[token].life.isHeld
            let counted = core.requests.inFlight(on: token)
            if counted != process.open.count {
                return "\(counted) slots of a worker are taken, but it has \(process.open.count) calls"
            }
            // One that an operator looks at is left alone.
            if !isHeld, let wrong = self.judge(process, ledger) { return wrong }
        }
        return nil
    }

    /// Overrun: its other calls may go on up to their deadlines, then SIGTERM, and SIGKILL after `term_grace`.
    private mutating func judge(_ process: Ledger.Process, _ ledger: Ledger) -> String? {
        guard process.inputClosedAt == nil,
            let overrun = process.overrunAt, overrun < ledger.now
        else { return nil }
        self.isTested = true
        let others = process.open.values.filter { $0.cancelledAt == nil }.map(\.deadline).max() ?? overrun
        let end = max(overrun, others, process.terminatedAt ?? overrun)
            .advanced(by: ledger.configuration.timeouts.termGrace + .milliseconds(10) + 4 * ledger.lag)
        guard ledger.now > end else { return nil }
        return "a worker lives \(ledger.now.duration(since: overrun).inMilliseconds) ms after it hung"
    }
}
