import Protocol

/// The memory of workers, looked at one worker a tick while there is traffic, and with each health check.
extension SupervisorCore {
    private static let sampleInterval = Nanoseconds.seconds(1)

    /// A call was sent: ticks go on until every worker has been looked at once more.
    mutating func noteTraffic() {
        self.samplesLeft = self.workers.count
        guard !self.timers.isSet(self.key(.sample, 0)) else { return }
        self.setTimer(.sample, 0, after: Self.sampleInterval)
    }

    mutating func sampleTimerFired(_ effects: inout some SupervisorEffects) {
        guard self.phase == .running else { return }
        let tokens = self.workers.tokens
        guard self.samplesLeft > 0, !tokens.isEmpty else { return }
        self.samplesLeft -= 1
        self.sampleTurn = (self.sampleTurn + 1) % tokens.count
        self.sample(tokens[self.sampleTurn], &effects)
        if self.samplesLeft > 0 { self.setTimer(.sample, 0, after: Self.sampleInterval) }
    }

    /// Looks at the memory of a worker and its descendants. Above the hard limit they are killed, above the soft
    /// one the worker is recycled.
    mutating func sample(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard self.workers[worker].role == .serving, self.workers[worker].life.departure == nil,
            let usage = effects.usage(of: worker)
        else { return }
        let limit = self.pools[self.workers[worker].pool].configuration.maxMemory
        if let limit, usage.residentBytes > limit, self.holds(.memoryLimit) {
            self.log(
                .error, "worker.over_memory", of: worker,
                ["bytes": .integer(usage.residentBytes), "limit_bytes": .integer(limit)], &effects)
            self.perform(self.workers[worker].life.kill(.memory), worker, &effects)
        } else if let soft = self.configuration.recycle.maxRSS, usage.residentBytes > soft {
            self.isDue(worker, for: .maxRSS, &effects)
        }
    }
}
