import Protocol

@testable import Supervisor

/// P12: after a stop nothing is started, new calls are refused, the open ones are answered by the end of the grace,
/// and then everything ends; after a second stop at once.
struct StopJudge: Judge {
    static let promise = Promise.gracefulStop
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .spawned:
            return ledger.stoppedAt == nil ? nil : "a process is started after the stop"
        case .answered(let answer, let nonce?):
            guard let call = ledger.calls[nonce] else { return nil }
            return self.judge(answer, call, ledger)
        case .finished:
            return Self.judgeEnd(ledger)
        default: return nil
        }
    }

    private mutating func judge(_ answer: Answer, _ call: Ledger.Call, _ ledger: Ledger) -> String? {
        guard let stoppedAt = ledger.stoppedAt else {
            return answer.reason == "shutting_down" ? "shutting_down without a stop" : nil
        }
        if answer.reason == "shutting_down" { self.isTested = true }
        guard case .worker = call.expectation else { return nil }
        let grace = ledger.configuration.timeouts.shutdownGrace + ledger.lag
        if ledger.now.duration(since: stoppedAt) > grace, ledger.now != call.sentAt {
            return "\(call.method) was answered only after the grace"
        }
        if call.sentAt > stoppedAt, answer.reason != "shutting_down" {
            return "\(call.method) was taken after the stop: \(answer.error?.text ?? "a result")"
        }
        return nil
    }

    private static func judgeEnd(_ ledger: Ledger) -> String? {
        guard let stoppedAt = ledger.stoppedAt else { return "finished without a stop" }
        let timeouts = ledger.configuration.timeouts
        let allowed = timeouts.shutdownGrace + 2 * timeouts.termGrace + .milliseconds(20) + 6 * ledger.lag
        let took = ledger.now.duration(since: stoppedAt)
        if took > allowed { return "stopped only after \(took.inMilliseconds) ms" }
        guard let again = ledger.stoppedAgainAt else { return nil }
        let fast = ledger.now.duration(since: again)
        return fast > .milliseconds(20) + 4 * ledger.lag
            ? "the second stop took \(fast.inMilliseconds) ms" : nil
    }
}
