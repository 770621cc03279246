@testable import Supervisor

/// P9: each stray line is counted; a worker that floods is replaced at once, and no other is for its noise.
struct NoiseJudge: Judge {
    static let promise = Promise.noiseSurvived
    private(set) var isTested = false

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        guard ledger.noiseLines > 0 else { return nil }
        var counted = 0
        for pool in core.pools.indices {
            for slot in core.pools[pool].slots.indices {
                counted += Int(core.pools[pool].slots[slot].noiseLines)
            }
        }
        if counted != ledger.noiseLines {
            return "\(counted) stray lines are counted, \(ledger.noiseLines) were written"
        }
        for (token, process) in ledger.processes where core.workers.contains(token) {
            let departure = core.workers[token].life.departure
            if process.isFlooding {
                self.isTested = true
                if departure == nil, !core.workers[token].life.isHeld {
                    return "a worker floods its stdout and stays"
                }
            } else if departure == .stdoutNoise {
                return "a worker is replaced for \(process.noise.lines) stray lines"
            }
        }
        return nil
    }
}
