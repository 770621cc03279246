@testable import Supervisor

/// P10: every process is ended, and no step of the ladder comes late or early: the end of stdin, SIGTERM a
/// `term_grace` later, SIGKILL another one later. One that is not ready in time is ended too.
struct ProcessJudge: Judge {
    static let promise = Promise.noOrphans
    private var mostProcesses = 0
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        guard case .signaled(let worker, let signal) = observation,
            let process = ledger.processes[worker], ledger.stoppedAgainAt == nil
        else { return nil }
        let earliest = ledger.now.advanced(by: -ledger.configuration.timeouts.termGrace)
        switch signal {
        case .terminate:
            if let closedAt = process.inputClosedAt, closedAt > earliest { return "SIGTERM before its time" }
        case .kill:
            self.isTested = true
            if process.overMemorySince != nil { return nil }
            guard let terminatedAt = process.terminatedAt else { return "SIGKILL without SIGTERM" }
            if terminatedAt > earliest { return "SIGKILL before its time" }
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        let grace = ledger.configuration.timeouts.termGrace + ledger.lag
        self.mostProcesses = max(self.mostProcesses, ledger.processes.count)
        for (token, process) in ledger.processes {
            // One that an operator looks at is left alone.
            if core.workers.contains(token), core.workers[token].life.isHeld { continue }
            if let since = process.overMemorySince, !process.isLeaving, ledger.stoppedAt == nil {
                // One worker a second is looked at.
                let allowed = Nanoseconds.seconds(Int64(self.mostProcesses) + 3)
                if ledger.now.duration(since: since) > allowed { return "a worker keeps too much memory" }
            }
            if let killedAt = process.killedAt {
                let waited = ledger.now.duration(since: killedAt)
                if waited > .milliseconds(10) + 2 * ledger.lag { return "a process survives SIGKILL" }
            } else if let terminatedAt = process.terminatedAt {
                if ledger.now.duration(since: terminatedAt) > grace { return "no SIGKILL after SIGTERM" }
            } else if let closedAt = process.inputClosedAt {
                if ledger.now.duration(since: closedAt) > grace { return "no SIGTERM after the end of stdin" }
            } else if process.role == .serving, process.readyAt == nil {
                let timeout = ledger.configuration.pools[process.pool].startTimeout
                if ledger.now.duration(since: process.startedAt) > timeout + 2 * ledger.lag {
                    return "a process is not ready for too long"
                }
            }
        }
        return nil
    }

    func judgeEnd(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        ledger.processes.isEmpty ? nil : "\(ledger.processes.count) processes outlive the supervisor"
    }
}
