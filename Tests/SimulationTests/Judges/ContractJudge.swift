import Protocol

@testable import Supervisor

/// protocol.md, as far as a world can see it: who answers what, which pool a call goes to, who may do what, and what
/// comes back besides the answer.
struct ContractJudge: Judge {
    static let promise = Promise.contract
    private static let refusals: Set<Int64> = [-32700, -32600, -32601, -32602, -32603, -32001]
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .sent(let nonce, let worker, _, _):
            guard let call = ledger.calls[nonce], case .worker(let pool) = call.expectation else {
                return "a call went to a worker that is none's"
            }
            let actual = ledger.processes[worker]?.pool
            return actual == pool ? nil : "\(call.params.text) went to pool \(actual ?? -1), not \(pool)"
        case .answered(let answer, let nonce?):
            guard let call = ledger.calls[nonce] else { return nil }
            guard answer.metadata?["request_id"]?.stringValue != nil else {
                return "an answer without the metadata that were asked for"
            }
            return self.judge(answer, call, ledger)
        default: return nil
        }
    }

    private mutating func judge(_ answer: Answer, _ call: Ledger.Call, _ ledger: Ledger) -> String? {
        switch call.expectation {
        case .immediate:
            return answer.result == nil ? "\(call.method) got no result" : nil
        case .refused(let code):
            self.isTested = true
            let isHeldUp = ["shutting_down", "too_many_in_flight"].contains(answer.reason)
            guard isHeldUp || answer.code == code else {
                return "\(call.method) was not refused with \(code): \(answer.error?.text ?? "a result")"
            }
            return call.isInBatch || ledger.now == call.sentAt ? nil : "\(call.method) was refused late"
        case .control: return nil
        case .worker:
            guard let error = answer.error, error["data"] != nil, let code = answer.code,
                Self.refusals.contains(code)
            else { return nil }
            return "\(call.method) was refused: \(error.text)"
        }
    }
}
