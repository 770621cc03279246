import Protocol

/// Says in the log, and so to subscribers, when a pool is not as healthy as it should be, and when it is again.
extension SupervisorCore {
    /// At the end of a tick in which something happened to a worker: judges the pools anew.
    ///
    /// A pool that comes up for the first time is not reported until it is healthy, or a worker of it is given up on.
    mutating func reportPoolHealth(_ effects: inout some SupervisorEffects) {
        guard self.healthMayHaveChanged else { return }
        self.healthMayHaveChanged = false
        for pool in self.pools.indices {
            let health = self.health(of: pool, forOperator: false).health
            guard health != self.pools[pool].reportedHealth else { continue }
            let isFirst = self.pools[pool].reportedHealth == nil
            guard !isFirst || health == .healthy || self.hasFailed(pool) else { continue }
            self.pools[pool].reportedHealth = health
            if !isFirst || health != .healthy { self.logHealth(health, of: pool, &effects) }
        }
    }

    private func hasFailed(_ pool: Int) -> Bool {
        if case .failed = self.pools[pool].preparation { return true }
        return self.pools[pool].slots.contains { $0.isQuarantined }
    }

    private func logHealth(_ health: Health, of pool: Int, _ effects: inout some SupervisorEffects) {
        let ready = self.pools[pool].slots.count { slot in
            slot.process.map { self.isInBalancing($0) } ?? false
        }
        effects.log(
            health == .healthy ? .info : .warning, health == .healthy ? "pool.recovered" : "pool.degraded",
            [
                "pool": .string(self.pools[pool].configuration.name), "status": .string(health.rawValue),
                "ready": .integer(ready), "min_workers": .integer(self.pools[pool].minWorkers),
            ])
    }
}
