import Protocol

/// Taking a new configuration while calls are under way.
extension SupervisorCore {
    /// Takes the configuration of the rollout that begins, as far as that can be done without a restart.
    ///
    /// - Returns: false when it was refused, whole, and the rollout is over.
    mutating func takeConfiguration(_ effects: inout some SupervisorEffects) -> Bool {
        do throws(InvalidConfiguration) {
            switch self.rollouts[0].kind {
            case .restart: break
            case .reload:
                let forgotten = self.source.updates
                let read = try effects.readConfiguration().get()
                self.take(read, try self.sizes(for: read.configuration, keepingScale: false), &effects)
                guard forgotten > 0 else { break }
                effects.log(
                    .warning, "config.updates_forgotten",
                    ["by": .string(self.rollouts[0].origin), "updates": .integer(forgotten)])
            case .update(let change):
                let updated = try self.source.updated(by: change).resolve()
                self.take(updated, try self.sizes(for: updated.configuration, keepingScale: true), &effects)
            }
            return true
        } catch {
            self.refuseConfiguration(error, &effects)
            return false
        }
    }

    private mutating func refuseConfiguration(
        _ invalid: InvalidConfiguration, _ effects: inout some SupervisorEffects
    ) {
        let rollout = self.rollouts.removeFirst()
        self.logRejection(
            by: rollout.origin, errors: invalid.errors.count, invalid.description, &effects)
        let error = Self.refused(invalid)
        for waiter in rollout.waiters { self.answer(waiter, .failure(error), &effects) }
    }

    static func refused(_ invalid: InvalidConfiguration) -> RPCError {
        RPCError(
            .invalidConfiguration, reason: "invalid_configuration",
            "The configuration is refused, and the present one stays",
            details: [.init("errors", invalid.value)])
    }

    /// How many workers the pools would have; refuses more than the limits of the system have room for.
    ///
    /// - Parameter keepingScale: what an operator scaled to counts until the configuration says something new.
    func sizes(
        for configuration: Configuration, keepingScale: Bool
    ) throws(InvalidConfiguration) -> [ClosedRange<Int>] {
        let adopted = self.adopting(configuration)
        let sizes = self.pools.indices.map { index in
            let (old, new) = (self.configuration.pools[index], adopted.pools[index])
            let isNew = old.minWorkers != new.minWorkers || old.maxWorkers != new.maxWorkers
            return isNew || !keepingScale
                ? new.minWorkers...new.maxWorkers
                : self.pools[index].minWorkers...self.pools[index].maxWorkers
        }
        let workers = max(
            configuration.pools.reduce(0) { $0 + $1.maxWorkers }, sizes.reduce(0) { $0 + $1.upperBound })
        guard workers <= self.identity.workerLimit else {
            let message =
                "\(workers) workers are too many: the limits of the system have room for "
                + "\(self.identity.workerLimit)"
            throw InvalidConfiguration(errors: [ConfigurationError(path: "pools", message)])
        }
        return sizes
    }

    /// Makes a configuration the present one, and notes for its rollout what that changed.
    private mutating func take(
        _ settings: ServeSettings, _ sizes: [ClosedRange<Int>], _ effects: inout some SupervisorEffects
    ) {
        let before = self.configuration
        let configured = (try? self.source.resolve())?.configuration
        self.rollouts[0].previous = Rollout.Previous(
            configuration: before, source: self.source,
            sizes: self.pools.map { $0.minWorkers...$0.maxWorkers })
        self.source = settings.source
        self.apply(settings.configuration, sizes: sizes, &effects)
        let after = self.configuration
        self.rollouts[0].applied = before.changes(to: after)
        var required = after.changes(to: settings.configuration)
        // Fewer connections than were asked for at the start are the system's doing: a restart changes nothing.
        if configured?.limits.connections == settings.configuration.limits.connections {
            required.removeAll { $0 == "limits.connections" }
        }
        self.rollouts[0].restartRequired = required
        self.rollouts[0].poolsToExchange = after.pools.indices.filter {
            !after.pools[$0].startsWorkers(like: before.pools[$0])
        }
        // What shapes answers may have changed, also in workers that are told.
        if !self.rollouts[0].applied.isEmpty {
            for pool in self.pools.indices { self.forgetResponses(of: pool) }
        }
    }

    /// An abort: everything is as it was before the rollout.
    mutating func goBack(to previous: Rollout.Previous, _ effects: inout some SupervisorEffects) {
        self.source = previous.source
        self.apply(previous.configuration, sizes: previous.sizes, &effects)
    }

    /// Makes a configuration the present one, but for what needs a restart of the supervisor.
    ///
    /// - Parameter sizes: least and most workers of the pools.
    private mutating func apply(
        _ configuration: Configuration, sizes: [ClosedRange<Int>], _ effects: inout some SupervisorEffects
    ) {
        let before = self.configuration
        self.configuration = self.adopting(configuration)
        self.rostersAreStale = true
        self.methods.configure(self.configuration)
        self.responses.configure(self.configuration.cache)
        self.embeddings.configure(self.configuration.cache)
        for pool in self.pools.indices {
            self.pools[pool].configure(self.configuration.pools[pool])
            self.pools[pool].setSize(sizes[pool])
            if self.configuration.pools[pool].prepare != before.pools[pool].prepare {
                self.prepareAnew(pool, &effects)
            }
            for slot in self.pools[pool].slots.indices {
                guard let worker = self.pools[pool].slots[slot].process else { continue }
                self.workers[worker].setConcurrency(cap: self.configuration.pools[pool].maxConcurrency)
            }
            self.rostersAreStale = true
            self.resize(pool, "configuration", &effects)
        }
        self.noteTechniques()
        self.resetTimers(since: before)
        for connection in self.connections.tokens {
            self.connections[connection].isOperator = self.isOperator(self.connections[connection])
        }
        for pool in self.pools.indices { self.dispatch(pool, &effects) }
    }

    private func adopting(_ configuration: Configuration) -> Configuration {
        let unprepared = self.pools.filter { $0.preparation != .done }.map(\.configuration.name)
        return self.configuration.adopting(
            configuration, connections: self.identity.connectionLimit, unprepared: Set(unprepared))
    }

    /// The pool's `prepare` is another one now: the one that runs makes way, so that an operator is rid of one that
    /// hangs, and one that has failed does not wait for its next try.
    private mutating func prepareAnew(_ pool: Int, _ effects: inout some SupervisorEffects) {
        switch self.pools[pool].preparation {
        case .running(let process):
            self.perform(self.workers[process].life.terminate(.restarted), process, &effects)
        case .failed, .pending:
            self.pools[pool].preparation = .pending
            self.pools[pool].preparePolicy.forgiveFailedStarts()
            self.setTimer(.prepareRetry, pool, after: 0)
        case .done:
            preconditionFailure("pool \(pool) is prepared, and stays so")
        }
    }

    /// What runs by an interval of before runs by the new one.
    private mutating func resetTimers(since before: Configuration) {
        for worker in self.workers.tokens where self.workers[worker].life.isReady {
            if self.configuration.recycle != before.recycle { self.setRecycling(of: worker) }
            if self.configuration.health.interval != before.health.interval,
                self.workers[worker].healthCheck == nil
            {
                self.setTimer(.health, Int(worker.index), after: self.configuration.health.interval)
            }
        }
        guard self.configuration.scaling != before.scaling else { return }
        for pool in self.pools.indices {
            self.removeTimer(.scaleUp, pool)
            self.removeTimer(.scaleDown, pool)
        }
    }
}

// MARK: - Log

extension SupervisorCore {
    /// A configuration was refused, or taken back because its workers did not come up.
    func logRejection(
        by origin: String, errors: Int, _ what: String, _ effects: inout some SupervisorEffects
    ) {
        effects.log(
            .warning, "config.rejected",
            ["by": .string(origin), "errors": .integer(errors), "what": .string(what)])
    }

    /// What a rollout has changed; nothing is said where that is nothing.
    func logChanges(_ rollout: Rollout, _ effects: inout some SupervisorEffects) {
        guard !rollout.applied.isEmpty || !rollout.restartRequired.isEmpty else { return }
        effects.log(
            rollout.restartRequired.isEmpty ? .info : .warning, "config.changed",
            [
                "by": .string(rollout.origin), "applied": .string(rollout.applied.joined(separator: ", ")),
                "restart_required": .string(rollout.restartRequired.joined(separator: ", ")),
            ])
    }
}

extension InvalidConfiguration {
    /// Faults of which an answer tells.
    private static let told = 1000

    /// As `config.validate` and a refusal tell them.
    var value: JSONValue {
        var told = self.errors.prefix(Self.told).map(\.value)
        if self.errors.count > Self.told {
            let rest = "\(self.errors.count - Self.told) more errors"
            told.append(ConfigurationError(path: "", rest).value)
        }
        return .array(told)
    }
}
