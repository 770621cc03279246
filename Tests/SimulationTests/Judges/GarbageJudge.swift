import Protocol

@testable import Supervisor

/// P8: workers see only calls that clients made, with their own method and params and nothing else; a garbage reply
/// fails its call, or has it tried again, in the same instant; a worker that asks is answered.
struct GarbageJudge: Judge {
    static let promise = Promise.garbageKillsNothing
    private static let members: Set<String> = ["jsonrpc", "id", "method", "params", "metadata"]
    private var unreadable: [Int64] = []
    private var gone: Set<Int> = []
    private(set) var isTested = false

    /// What is wrong with a call that a worker is sent.
    func judge(_ message: JSONValue, _ ledger: Ledger) -> String? {
        guard let nonce = message["params"]?["nonce"]?.integerValue, let call = ledger.calls[nonce] else {
            return "a worker got a call that nobody made: \(message.text)"
        }
        guard message["method"] == .string(call.method), message["params"] == call.params else {
            return "a worker got another call than was made: \(message.text)"
        }
        let names = message.objectValue?.map(\.name) ?? []
        guard Self.members.isSuperset(of: names), Set(names).count == names.count,
            message["jsonrpc"] == "2.0", message["metadata"]?["request_id"]?.stringValue != nil
        else { return "a worker got a call of another shape: \(message.text)" }
        return nil
    }

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .workerWrote(let output, _):
            guard case .reply(_, .unreadable) = output.meaning else { return nil }
            self.isTested = true
            // The ledger has just closed the call.
            self.unreadable += ledger.settled.map { [$0] } ?? []
        case .answered(let answer, let nonce?):
            guard answer.code == 1003, let call = ledger.calls[nonce] else { return nil }
            guard let (fate, step) = call.fate, fate == .unreadable, call.isInBatch || step == ledger.step
            else {
                return "\(call.method) failed with 1003, but its worker said nothing wrong"
            }
        case .clientLeft(let index): self.gone.insert(index)
        default: break
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        for process in ledger.processes.values where !process.questions.isEmpty {
            return "a worker asked, and was not answered"
        }
        guard !self.unreadable.isEmpty else { return nil }
        defer { self.unreadable.removeAll(keepingCapacity: true) }
        for nonce in self.unreadable {
            guard let call = ledger.calls[nonce], !call.isAnswered, !call.isInBatch, !call.isIdempotent,
                !self.gone.contains(call.client)
            else { continue }
            return "\(call.method) was not failed when its reply could not be read"
        }
        return nil
    }
}
