@testable import Supervisor

/// P7: who does not read is not read from, or sent to, beyond the watermark; a client that takes nothing for too long
/// is let go, and not before; who reads again is served again.
struct StallJudge: Judge {
    static let promise = Promise.nobodyWedges
    static let highWatermark = 1 << 20
    private static let lowWatermark = 256 << 10
    /// Since when clients have taken nothing.
    private var since: [ConnectionToken: Instant] = [:]
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .stalled(let token), .tookSome(let token): self.since[token] = ledger.now
        case .readsAgain(let token): self.since[token] = nil
        case .closed(let token, let whenFlushed):
            guard !whenFlushed, let since = self.since.removeValue(forKey: token) else { return nil }
            self.isTested = true
            let waited = ledger.now.duration(since: since)
            return waited >= ledger.configuration.limits.writeStall
                ? nil : "a client was let go after \(waited.inSeconds) s without reading"
        case .sent(_, _, _, let backlog), .told(_, let backlog):
            guard backlog > Self.highWatermark else { return nil }
            return "a call for a worker that has \(backlog) bytes to read"
        default: break
        }
        return nil
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        for (token, since) in self.since {
            guard let stall = effects.stalledClients[token], stall.waiting > 0 else {
                self.since[token] = nil
                continue
            }
            let waited = ledger.now.duration(since: since)
            if waited > ledger.configuration.limits.writeStall + ledger.lag {
                return "a client that takes nothing is still there after \(waited.inSeconds) s"
            }
        }
        for (token, stall) in effects.stalledClients {
            guard stall.waiting > Self.highWatermark, core.connections.contains(token) else { continue }
            self.isTested = true
            if !effects.paused.contains(token) {
                return "a client is read from, though \(stall.waiting) bytes wait for it"
            }
        }
        for token in effects.paused {
            guard core.connections.contains(token), !core.connections[token].isInputEnded,
                effects.outputBacklog(of: token) <= Self.lowWatermark
            else { continue }
            return "a client is not read from, though nothing waits for it"
        }
        return nil
    }
}
