import Protocol

/// Taking a new configuration while calls are under way.
extension SupervisorCore {
    /// Reads the configuration for the rollout under way, and takes what can be taken without a restart.
    ///
    /// - Returns: false when it was refused, whole, and the rollout is over.
    mutating func readConfiguration(_ effects: inout some SupervisorEffects) -> Bool {
        switch self.fitting(effects.readConfiguration()) {
        case .success(let configuration):
            self.rollouts[0].previous = (
                self.configuration, self.pools.map { $0.minWorkers...$0.maxWorkers }
            )
            let fixed = self.configuration.keysThatNeedARestart(
                for: configuration, connections: self.identity.connectionLimit)
            self.rollouts[0].restartRequired = fixed
            if !fixed.isEmpty {
                effects.log(
                    .warning, "config.restart_required",
                    ["keys": .string(fixed.joined(separator: ", "))])
            }
            self.apply(configuration, sizes: nil, &effects)
            return true
        case .failure(let invalid):
            let rollout = self.rollouts.removeFirst()
            effects.log(
                .error, "config.rejected",
                ["by": .string(rollout.origin), "errors": .string(invalid.description)])
            let error = Self.refused(invalid)
            for waiter in rollout.waiters { self.answer(waiter, .failure(error), &effects) }
            return false
        }
    }

    /// Refuses more workers than the limits of the system have room for.
    private func fitting(
        _ read: Result<Configuration, InvalidConfiguration>
    ) -> Result<Configuration, InvalidConfiguration> {
        guard case .success(let configuration) = read else { return read }
        let workers = configuration.pools.reduce(0) { $0 + $1.maxWorkers }
        guard workers > self.identity.workerLimit else { return read }
        let error = ConfigurationError(
            path: "pools",
            "\(workers) workers are too many: the limits of the system have room for "
                + "\(self.identity.workerLimit)")
        return .failure(InvalidConfiguration(errors: [error]))
    }

    private static func refused(_ invalid: InvalidConfiguration) -> RPCError {
        return RPCError(
            .invalidConfiguration, reason: "invalid_configuration",
            "The configuration is refused, and the present one stays",
            details: [.init("errors", .array(invalid.errors.map(\.value)))])
    }

    /// Makes a configuration the present one, but for what needs a restart of the supervisor.
    ///
    /// - Parameter sizes: least and most workers of the pools; nil: the configuration's.
    mutating func apply(
        _ configuration: Configuration, sizes: [ClosedRange<Int>]?, _ effects: inout some SupervisorEffects
    ) {
        self.configuration = self.configuration.adopting(
            configuration, connections: self.identity.connectionLimit)
        self.methods.configure(self.configuration)
        self.responses.configure(self.configuration.cache)
        self.embeddings.configure(self.configuration.cache)
        for pool in self.pools.indices {
            self.pools[pool].configure(self.configuration.pools[pool])
            if let sizes { self.pools[pool].setSize(sizes[pool]) }
            for slot in self.pools[pool].slots.indices {
                guard let worker = self.pools[pool].slots[slot].process else { continue }
                self.workers[worker].setConcurrency(cap: self.configuration.pools[pool].maxConcurrency)
            }
            self.resize(pool, "configuration", &effects)
        }
        self.noteTechniques()
        for pool in self.pools.indices { self.dispatch(pool, &effects) }
    }
}

extension Configuration {
    /// The keys in which a configuration differs that are read only when the supervisor starts.
    ///
    /// - Parameter connections: more than these need a restart.
    func keysThatNeedARestart(for new: Configuration, connections: Int) -> [String] {
        var keys: [String] = []
        if new.socket != self.socket { keys.append("socket") }
        if new.controlSocket != self.controlSocket { keys.append("control_socket") }
        if new.limits.messages != self.limits.messages { keys.append("limits") }
        if new.limits.connections > connections { keys.append("limits.connections") }
        if new.logging != self.logging { keys.append("logging") }
        if new.cache.embeddingCacheFile != self.cache.embeddingCacheFile {
            keys.append("cache.embedding_cache_file")
        }
        guard new.pools.map(\.name) == self.pools.map(\.name) else { return keys + ["pools"] }
        for (index, pool) in new.pools.enumerated() where pool.prepare != self.pools[index].prepare {
            keys.append("pools[\(index)].prepare")
        }
        return keys
    }

    /// The new configuration with those keys left as they are.
    fileprivate func adopting(_ new: Configuration, connections: Int) -> Configuration {
        var result = new
        result.limits.connections = min(new.limits.connections, connections)
        result.socket = self.socket
        result.controlSocket = self.controlSocket
        result.limits.messages = self.limits.messages
        result.logging = self.logging
        result.cache.embeddingCacheFile = self.cache.embeddingCacheFile
        guard new.pools.map(\.name) == self.pools.map(\.name) else {
            result.pools = self.pools
            return result
        }
        for index in result.pools.indices { result.pools[index].prepare = self.pools[index].prepare }
        return result
    }
}
