import Protocol

@testable import Supervisor

/// P6: queues and connections are bounded, what is too much is refused in the same instant, and no call waits while
/// a slot is free, so that all the capacity there is serves somebody. The supervisor itself answers at once.
struct OverloadJudge: Judge {
    static let promise = Promise.overloadSheds
    /// How much of what the workers could do must be done.
    private static let goodput = 0.9
    private var immediate: [Int64] = []
    private var lastCallAt = Instant(nanoseconds: 0)
    private var readyTimes: [WorkerToken: Instant] = [:]
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .called(let nonce):
            self.lastCallAt = ledger.now
            if ledger.calls[nonce]?.expectation == .immediate { self.immediate.append(nonce) }
        case .answered(let answer, let nonce?):
            guard answer.code == 2002, let call = ledger.calls[nonce] else { return nil }
            self.isTested = true
            let depth = answer.error?["data"]?["queue_depth"]?.integerValue ?? 0
            if depth < ledger.configuration.loadBalancer.queueSize {
                return "refused, though only \(depth) calls wait"
            }
            if !call.isInBatch, ledger.now != call.sentAt { return "refused only after a while" }
        default: break
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        defer { self.immediate.removeAll(keepingCapacity: true) }
        for nonce in self.immediate where ledger.calls[nonce]?.isAnswered == false {
            return "\(ledger.calls[nonce]?.method ?? "") was not answered at once"
        }
        for index in 0..<core.connections.capacity {
            guard let token = core.connections.token(at: index) else { continue }
            let open = core.requests.open(of: token)
            if open > core.limits.inFlightPerConnection { return "\(open) calls of one connection" }
        }
        for pool in core.pools.indices {
            let queued = core.requests.queued(in: pool)
            let bound = core.configuration.loadBalancer.queueSize + core.requests.retriesOpen
            if queued > bound { return "\(queued) calls wait in pool \(pool), at most \(bound) may" }
            if queued > 0, let wrong = Self.judgeIdle(pool, core, effects) { return wrong }
        }
        return nil
    }

    /// Whether a slot is free while a call waits that could have it. A call that a worker lost waits for another one.
    private static func judgeIdle(
        _ pool: Int, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        let free = core.pools[pool].slots.indices.first { slot in
            guard let worker = core.pools[pool].slots[slot].process else { return false }
            return core.workers[worker].takesCalls
                && core.workers[worker].ejection.admission(at: core.now) == .all
                && core.requests.inFlight(on: worker) < core.workers[worker].maxConcurrency
                && effects.inputBacklog(of: worker) <= StallJudge.highWatermark
        }
        guard let free,
            core.requests.requests(queuedIn: pool).contains(where: { core.requests[$0].avoided == nil })
        else { return nil }
        return "a call waits in pool \(pool) while slot \(free) is free"
    }

    func audit(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        guard ledger.weather.profile == .overload else { return nil }
        let service = Double(ledger.weather.service.upperBound)
        var capacity = 0.0
        for process in ledger.processes.values {
            guard let readyAt = process.readyAt else { continue }
            let time = max(0, self.lastCallAt.duration(since: readyAt))
            capacity +=
                Double(process.concurrency)
                * (Double(time) / 1e6 / (service + Double(ledger.lag) / 1e6)).rounded(.down)
        }
        guard Double(ledger.results) < Self.goodput * capacity else { return nil }
        return "\(ledger.results) calls were served, \(capacity) could have been"
    }
}
