@testable import Supervisor

/// P13: a call that its caller cancelled or left, or whose time is over, is cancelled at its worker in the same
/// instant, once; nothing is sent for those who left; in the end nothing is in flight and all capacity is there.
struct CancelJudge: Judge {
    static let promise = Promise.cancelIsReal
    private var gone: Set<Int> = []
    private var leaving: Set<Int> = []
    private var cancelled: [Int64] = []
    private var sentInStep = 0
    /// As many calls as there are free slots were made in that step.
    var probe: (calls: Int, step: Int)?
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .clientCancelled(let nonce): self.cancelled.append(nonce)
        case .clientLeft(let index):
            self.gone.insert(index)
            self.leaving.insert(index)
        case .cancelSent(let open, let worker):
            self.isTested = true
            // One that was cut off loses its calls in the same tick.
            if open == nil, ledger.processes[worker]?.cutOffAt != nil { return nil }
            guard let open, let call = ledger.calls[open.nonce] else {
                return "a cancel for a call that the worker does not have"
            }
            if open.cancelledAt != nil { return "\(call.method) was cancelled twice" }
            let isOver = call.isAnswered || call.isInBatch || self.gone.contains(call.client)
            return isOver ? nil : "\(call.method) was cancelled while its caller waits"
        case .sent(let nonce, _, _, _):
            self.sentInStep += 1
            guard let call = ledger.calls[nonce], self.gone.contains(call.client) else { return nil }
            return "\(call.method) was sent for a client that has left"
        case .answered(let answer, let nonce?):
            guard let call = ledger.calls[nonce], answer.reason == "cancelled", !call.isCancelled else {
                return nil
            }
            return "\(call.method) is answered as cancelled, but nobody cancelled it"
        default: break
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        defer { self.sentInStep = 0 }
        if let (calls, step) = self.probe, step == ledger.step, self.sentInStep < calls {
            return "only \(self.sentInStep) of \(calls) slots took a call"
        }
        guard !self.cancelled.isEmpty || !self.leaving.isEmpty else { return nil }
        defer { (self.cancelled, self.leaving) = ([], []) }
        for nonce in self.cancelled {
            guard let call = ledger.calls[nonce], !call.isInBatch, !call.isAnswered else { continue }
            return "\(call.method) was cancelled, but not answered"
        }
        for process in ledger.processes.values {
            for open in process.open.values where open.cancelledAt == nil {
                guard let call = ledger.calls[open.nonce], !call.isInBatch else { continue }
                if self.cancelled.contains(open.nonce) || self.leaving.contains(call.client) {
                    return "a worker was not told that \(open.method) is cancelled"
                }
            }
        }
        return nil
    }

    func audit(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        let open = ledger.processes.values.reduce(0) { $0 + $1.open.count }
        if open > 0 { return "\(open) calls are still at their workers" }
        let checks = ledger.processes.values.reduce(0) { $0 + $1.checks.count }
        if core.requests.count > checks { return "\(core.requests.count - checks) requests are still held" }
        for pool in core.pools.indices {
            for slot in core.pools[pool].slots.indices {
                if pool == 0, slot == ledger.weather.loopingSlot { continue }
                let isHeld =
                    core.pools[pool].slots[slot].process.map { core.workers[$0].life.isHeld } ?? false
                let place = core.pools[pool].slots[slot]
                if !core.isReady(place), !place.isQuarantined, place.isWanted, !isHeld {
                    return
                        "slot \(slot) of pool \(pool) has not come back: \(core.pools[pool].slots[slot].state)"
                }
            }
        }
        return nil
    }
}

extension Ledger {
    /// Calls that the ready workers of a pool take at once.
    func capacity(of pool: Int, _ core: borrowing SupervisorCore) -> Int {
        var capacity = 0
        for slot in core.pools[pool].slots.indices {
            guard let worker = core.pools[pool].slots[slot].process, core.workers[worker].takesCalls,
                core.workers[worker].ejection.admission(at: core.now) == .all
            else {
                continue
            }
            capacity += self.processes[worker]?.concurrency ?? 0
        }
        return capacity
    }
}
