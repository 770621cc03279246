import Protocol

/// What is answered at once from what the supervisor knows: `system.info`, `health.detailed`, `rpc.discover`,
/// `supervisor.explain`, and subscriptions to events.
extension SupervisorCore {
    mutating func answerAtOnce(
        _ method: MethodTable.LocalMethod, _ incoming: IncomingRequest,
        _ effects: inout some SupervisorEffects
    ) {
        do throws(RPCError) {
            switch method {
            case .subscribe: try self.subscribe(incoming, &effects)
            case .unsubscribe: try self.unsubscribe(incoming, &effects)
            case .explain: try self.explain(incoming, &effects)
            case .systemInfo:
                try OperatorParams.expectNone(incoming.params)
                self.answer(incoming, result: self.systemInfo, &effects)
            case .healthDetailed:
                try OperatorParams.expectNone(incoming.params)
                let isOperator = self.connections[incoming.caller.connection].isOperator
                self.answer(incoming, result: self.detailedHealth(forOperator: isOperator), &effects)
            case .discover:
                try OperatorParams.expectNone(incoming.params)
                self.answer(incoming, result: self.openRPCDocument, &effects)
            default: preconditionFailure("\(method) is answered elsewhere")
            }
        } catch {
            self.refuse(incoming, error, &effects)
        }
    }
}

// MARK: - system.info

extension SupervisorCore {
    private var systemInfo: JSONValue {
        [
            "version": .string(ProductVersion.text),
            "protocol_version": .string(ProductVersion.contract),
            "pid": .integer(self.identity.pid),
            "host": .string(self.identity.host),
            "cores": .integer(self.identity.cores),
            "memory_bytes": .integer(self.identity.memoryBytes),
            "uptime_seconds": .double(self.now.duration(since: self.startedAt).inSeconds.rounded()),
            "pools": .array(self.pools.indices.map { self.information(ofPool: $0) }),
            "methods": .array(self.methodNames.map { .string($0) }),
            "techniques": .array(self.techniqueNames.map { .string($0) }),
        ]
    }

    private func information(ofPool pool: Int) -> JSONValue {
        let configuration = self.pools[pool].configuration
        return [
            "name": .string(configuration.name),
            "strategy": .string(self.configuration.loadBalancer.strategy.rawValue),
            "min_workers": .integer(self.pools[pool].minWorkers),
            "max_workers": .integer(self.pools[pool].maxWorkers),
            "ready_workers": .integer(self.pools[pool].slots.count { self.isReady($0) }),
            "methods": .array(configuration.methods.map { .string($0) }),
            "techniques": .array((self.pools[pool].techniques ?? []).map { .string($0) }),
        ]
    }

    /// Names of methods that can be called now: the contract's, and those that workers have declared.
    private var methodNames: [String] {
        let own = MethodCatalogue.all.filter { self.isAnswered($0.name) }.map(\.name)
        return own + self.declaredMethods.map(\.name)
    }

    private var techniqueNames: [String] {
        Set(self.pools.flatMap { $0.techniques ?? [] }).sorted()
    }

    /// Whether a name leads anywhere.
    func isAnswered(_ method: String) -> Bool {
        Array(method.utf8).withUnsafeBytes { self.methods.route($0) } != .reserved
    }

    /// Methods beyond the contract's that a worker has declared and its pool serves, with the pools.
    var declaredMethods: [(name: String, pools: [String])] {
        var pools: [String: [String]] = [:]
        for index in self.pools.indices {
            let workers = self.pools[index].slots.compactMap(\.process)
            let names = Set(workers.flatMap { self.workers[$0].capabilities.methods ?? [] })
            for name in names where self.isDeclared(name, in: index) {
                pools[name, default: []].append(self.pools[index].configuration.name)
            }
        }
        return pools.sorted { $0.key < $1.key }.prefix(Self.declaredMethodLimit).map { ($0.key, $0.value) }
    }

    private static let declaredMethodLimit = 200

    private func isDeclared(_ name: String, in pool: Int) -> Bool {
        guard !name.isEmpty, name.utf8.count <= self.limits.messages.methodBytes, !name.contains("*"),
            MethodCatalogue.method(named: name) == nil
        else { return false }
        return Array(name.utf8).withUnsafeBytes { bytes in
            if case .worker = self.methods.route(bytes) { return self.pools[pool].serves(bytes) }
            return false
        }
    }
}

// MARK: - health.detailed

extension SupervisorCore {
    /// How long after somebody asked workers that answer calls are asked for their health, too, so that what they
    /// say of their dependencies is not old when he asks again.
    private static let dependencyInterest = Nanoseconds.seconds(60)

    /// Whether what workers depend on is of interest now.
    var wantsDependencies: Bool {
        self.dependenciesAskedAt.map { self.now.duration(since: $0) < Self.dependencyInterest } ?? false
    }

    /// Takes what an answer to `health.check` says of the worker and of what it depends on.
    mutating func noteStatement(_ outcome: Outcome, of worker: WorkerToken) {
        guard case .result(let bytes) = outcome, let result = try? JSONValue(parsing: bytes),
            let statement = HealthStatement(result: result, at: self.now)
        else { return }
        self.workers[worker].statement = statement
    }

    /// - Parameter forOperator: others do not see what workers say of a dependency beyond its status.
    private mutating func detailedHealth(forOperator: Bool) -> JSONValue {
        self.dependenciesAskedAt = self.now
        let workers = self.pools.flatMap { pool in pool.slots.compactMap(\.process) }
        let dependencies = self.dependencies(of: workers, forOperator)
        var health = Self.overall(
            self.pools.indices.map { self.health(of: $0, forOperator: false).health }, phase: self.phase)
        if health == .healthy, dependencies.contains(where: \.isAmiss) { health = .degraded }
        return [
            "status": .string(health.rawValue),
            "workers": .array(workers.map { self.healthEntry($0) }),
            "dependencies": .object(dependencies.map { .init($0.name, $0.value) }),
            "queue": self.queueFigures,
            "cache": ["embedding": self.embeddings.figures, "response": self.responses.figures],
            "uptime_seconds": .double(self.now.duration(since: self.startedAt).inSeconds.rounded()),
        ]
    }

    private func age(_ time: Instant) -> JSONValue {
        .double((self.now.duration(since: time).inSeconds * 1000).rounded() / 1000)
    }

    private func healthEntry(_ worker: WorkerToken) -> JSONValue {
        let process = self.workers[worker]
        return [
            "worker_id": .string(process.id),
            "pool": .string(self.pools[process.pool].configuration.name),
            "slot": .integer(process.slot),
            "pid": process.pid.map { .integer($0) } ?? .null,
            "state": .string(self.stateName(self.pools[process.pool].slots[process.slot])),
            "health": .string(process.statement?.status),
            "checked_seconds_ago": process.statement.map { self.age($0.at) } ?? .null,
            "failed_checks": .integer(process.failedHealthChecks),
            "in_flight": .integer(self.requests.inFlight(on: worker)),
            "uptime_seconds": .double(self.now.duration(since: process.startedAt).inSeconds.rounded()),
        ]
    }

    private struct DependencyEntry {
        var name: String
        var value: JSONValue
        var isAmiss: Bool
    }

    /// What all workers say, by the names of what they depend on.
    private func dependencies(of workers: [WorkerToken], _ forOperator: Bool) -> [DependencyEntry] {
        typealias Dependency = HealthStatement.Dependency
        var told: [String: [(worker: WorkerToken, at: Instant, dependency: Dependency)]] = [:]
        for worker in workers {
            guard let statement = self.workers[worker].statement else { continue }
            for dependency in statement.dependencies {
                told[dependency.name, default: []].append((worker, statement.at, dependency))
            }
        }
        return told.sorted { $0.key < $1.key }.map { name, said in
            let status = Self.together(said.map(\.dependency.status))
            let oldest = said.map(\.at).min() ?? self.now
            var members: [JSONValue.Member] = [
                .init("status", .string(status.rawValue)), .init("checked_seconds_ago", self.age(oldest)),
            ]
            let entries = said.map { worker, at, dependency in
                JSONValue.Member(
                    self.workers[worker].id,
                    .object(
                        [
                            .init("status", .string(dependency.status.rawValue)),
                            .init("checked_seconds_ago", self.age(at)),
                        ] + (forOperator ? dependency.details : [])))
            }
            members.append(.init("workers", .object(entries)))
            return DependencyEntry(
                name: name, value: .object(members),
                isAmiss: status == .degraded || status == .unavailable)
        }
    }

    /// The same for all, or `degraded` where workers differ.
    private static func together(
        _ statuses: [HealthStatement.Dependency.Status]
    ) -> HealthStatement.Dependency.Status {
        let known = statuses.filter { $0 != .unknown }
        guard let first = known.first else { return .unknown }
        return known.allSatisfy { $0 == first } ? first : .degraded
    }

    private var queueFigures: JSONValue {
        let pools = self.pools.indices.map { pool in
            JSONValue.Member(
                self.pools[pool].configuration.name, .integer(self.requests.queued(in: pool)))
        }
        return [
            "depth": .integer(self.pools.indices.reduce(0) { $0 + self.requests.queued(in: $1) }),
            "size_per_pool": .integer(self.configuration.loadBalancer.queueSize),
            "pools": .object(pools),
        ]
    }
}
