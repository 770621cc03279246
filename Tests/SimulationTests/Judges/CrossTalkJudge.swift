import Protocol

@testable import Supervisor

/// P2: a result is that of the caller's own call, passed on when its worker gave it; replies that are late, double
/// or foreign are dropped, and counted exactly.
struct CrossTalkJudge: Judge {
    static let promise = Promise.noCrossTalk
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        guard case .answered(let answer, let nonce?) = observation, let call = ledger.calls[nonce],
            case .worker = call.expectation
        else { return nil }
        func gave(_ fate: Ledger.Fate) -> Bool {
            guard let (given, step) = call.fate, given == fate else { return false }
            return call.isInBatch || step == ledger.step
        }
        if let result = answer.result {
            guard result["nonce"] == .integer(nonce) else {
                return "\(call.method) got the result of another call: \(result.text)"
            }
            return gave(.result) ? nil : "\(call.method) got a result that its worker did not give"
        }
        // The supervisor's own errors have data, the workers' here have none.
        guard let error = answer.error, error["data"] == nil else { return nil }
        return gave(.error) ? nil : "\(call.method) got an error that its worker did not give: \(error.text)"
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        self.isTested = ledger.lateReplies > 0
        var counted = 0
        for pool in core.pools.indices {
            for slot in core.pools[pool].slots.indices {
                counted += Int(core.pools[pool].slots[slot].lateReplies)
            }
        }
        return counted == ledger.lateReplies
            ? nil : "\(counted) late replies are counted, \(ledger.lateReplies) were given"
    }
}
