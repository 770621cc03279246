import Protocol

/// What operators ask of the supervisor itself: `supervisor.restart`, `.drain`, `.scale`, `.reload`, `.stop`,
/// `cache.clear`, and what changes the configuration.
extension SupervisorCore {
    /// One of these methods, from whoever may call it.
    mutating func answerOperator(
        _ method: MethodTable.LocalMethod, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) {
        guard self.connections[incoming.caller.connection].isOperator || !self.holds(.operatorsOnly) else {
            return self.refuseStranger(incoming, &effects)
        }
        do throws(RPCError) {
            if method != .stop, let error = self.reasonNotToAccept(incoming) { throw error }
            var params = try OperatorParams(method == .updateConfiguration ? nil : incoming.params)
            switch method {
            case .restart: try self.restart(&params, incoming, metadata, &effects)
            case .reload: try self.reload(&params, incoming, metadata, &effects)
            case .drain: try self.drain(&params, incoming, &effects)
            case .scale: try self.scale(&params, incoming, &effects)
            case .stop: try self.stop(&params, incoming, &effects)
            case .clearCache: try self.clearCache(&params, incoming, metadata, &effects)
            case .initializePipeline: try self.initializePipeline(&params, incoming, metadata, &effects)
            case .destroyPipeline: try self.destroyPipeline(&params, incoming, metadata, &effects)
            case .updateConfiguration: try self.updateConfiguration(incoming, metadata, &effects)
            case .reloadConfiguration:
                try self.reloadConfiguration(&params, incoming, metadata, &effects)
            case .ping, .status, .listPipelines, .metrics, .validateConfiguration, .cancelRequest,
                .cancelled, .subscribe, .unsubscribe, .systemInfo, .healthDetailed, .discover, .explain:
                preconditionFailure("\(method) is not for operators only")
            }
        } catch {
            self.refuse(incoming, error, &effects)
        }
    }

    /// - Parameter what: what it is that only operators may; nil: the method.
    mutating func refuseStranger(
        _ incoming: IncomingRequest, asking what: String? = nil, _ effects: inout some SupervisorEffects
    ) {
        let peer = self.connections[incoming.caller.connection].peer
        let requestID = self.requestID(of: incoming) ?? self.makeRequestID()
        effects.log(
            .warning, "operator.refused",
            [
                "request_id": .string(requestID), "method": .string(incoming.methodText),
                "peer_uid": .integer(peer.uid), "peer_pid": .integer(peer.pid),
            ])
        // Whoever would be one elsewhere is told where.
        let isElsewhere = self.mayOperate(peer)
        let error = RPCError(
            .notPermitted, reason: isElsewhere ? "control_socket_only" : "operators_only",
            "Not permitted: \(what ?? incoming.methodText) is for operators only"
                + (isElsewhere ? ", on the control socket" : ""))
        self.refuse(incoming, error, requestID: requestID, &effects)
    }

    func origin(of incoming: IncomingRequest) -> String {
        "\(incoming.methodText) by pid \(self.connections[incoming.caller.connection].peer.pid)"
    }

    // MARK: Stop

    private mutating func stop(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        try params.finish()
        self.answer(incoming, result: ["stopping": true, "pid": .integer(self.identity.pid)], &effects)
        self.stop(reason: self.origin(of: incoming), &effects)
    }

    // MARK: Restart and reload

    private mutating func restart(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let worker = try params.name("worker")
        let isRolling = try params.flag("rolling")
        let wait = try params.flag("wait")
        try params.finish()
        guard worker == nil || !isRolling else {
            throw .invalidParams("rolling", "expected either worker or rolling")
        }
        let place = try worker.map { name throws(RPCError) in try self.place(of: name) }
        try self.roll(out: .restart(place), incoming, metadata, wait ? .steps : .plan, &effects)
    }

    private mutating func reload(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let wait = try params.flag("wait")
        try params.finish()
        try self.roll(out: .reload, incoming, metadata, wait ? .steps : .plan, &effects)
    }

    /// SIGHUP: nobody waits for an answer.
    mutating func reload(reason: String, _ effects: inout some SupervisorEffects) {
        guard !self.addRollout(Rollout(kind: .reload, origin: reason), &effects) else { return }
        effects.log(.warning, "rollout.refused", ["by": .string(reason)])
    }

    mutating func roll(
        out kind: Rollout.Kind, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ report: Rollout.Waiter.Report, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        var rollout = Rollout(kind: kind, origin: self.origin(of: incoming))
        let call = self.waitingCaller(incoming, metadata)
        if let call { rollout.waiters = [Rollout.Waiter(request: call, report: report)] }
        guard !self.addRollout(rollout, &effects) else { return }
        let error = RPCError(
            .workerOverloaded, reason: "too_many_rollouts",
            "\(self.rollouts.count) restarts, reloads and updates wait already", retryable: true,
            retryAfterMilliseconds: 1000)
        if let call { self.end(call, .failure(error), &effects) }
    }

    // MARK: Drain

    private mutating func drain(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        guard let name = try params.name("worker") else {
            throw .invalidParams("worker", Self.expectedWorker)
        }
        try params.finish()
        let place = try self.place(of: name)
        guard let worker = self.pools[place.pool].slots[place.slot].process else {
            throw .invalidParams("worker", "nothing runs in slot \(place.slot) at present")
        }
        guard self.pools[place.pool].exchange?.slot != place.slot else {
            throw self.isLeaving(worker, "it is being replaced")
        }
        let action = self.workers[worker].life.hold()
        guard action != .none else { throw self.isLeaving(worker, "it is on its way out") }
        self.perform(action, worker, &effects)
        self.log(.info, "worker.held", of: worker, ["by": .string(self.origin(of: incoming))], &effects)
        self.answer(
            incoming,
            result: [
                "pool": .string(self.pools[place.pool].configuration.name), "slot": .integer(place.slot),
                "worker_id": .string(self.workers[worker].id),
                "pid": self.workers[worker].pid.map { .integer($0) } ?? .null,
                "in_flight": .integer(self.requests.inFlight(on: worker)),
            ], &effects)
    }

    private func isLeaving(_ worker: WorkerToken, _ why: String) -> RPCError {
        RPCError(
            .workerUnavailable, reason: "worker_leaving",
            "Worker \(self.workers[worker].id) cannot be drained: \(why)", workerID: self.workers[worker].id)
    }

    // MARK: Scale

    private mutating func scale(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let workers = try params.number("workers", in: 1...Configuration.workersPerPool)
        let name = try params.string("pool")
        try params.finish()
        let pool = try self.pool(named: name)
        let others = self.pools.indices.reduce(0) { $1 == pool ? $0 : $0 + self.pools[$1].maxWorkers }
        guard others + workers <= self.identity.workerLimit else {
            throw .invalidParams(
                "workers",
                "\(workers) are too many: the limits of the system have room for \(self.identity.workerLimit) "
                    + "workers, and the other pools may have \(others)")
        }
        self.pools[pool].setSize(workers...workers)
        // A reload that is aborted goes back to what was before it, but for this.
        if !self.rollouts.isEmpty { self.rollouts[0].previous?.sizes[pool] = workers...workers }
        self.resize(pool, self.origin(of: incoming), &effects)
        self.answer(
            incoming,
            result: [
                "pool": .string(self.pools[pool].configuration.name),
                "min_workers": .integer(workers), "max_workers": .integer(workers),
            ], &effects)
    }

    private func pool(named name: String?) throws(RPCError) -> Int {
        let names = self.pools.map(\.configuration.name)
        guard let name else {
            guard names.count == 1 else {
                throw .invalidParams("pool", "expected one of \(names.joined(separator: ", "))")
            }
            return 0
        }
        guard let pool = names.firstIndex(of: name) else {
            let hint = NearestName.find(name, in: names).map { "; did you mean \($0)?" } ?? ""
            throw .invalidParams(
                "pool",
                "there is no pool \(Excerpt.escaped(name)), only \(names.joined(separator: ", "))\(hint)")
        }
        return pool
    }
}

// MARK: - Which worker is meant

extension SupervisorCore {
    fileprivate static let expectedWorker =
        "expected a worker id, a unique prefix of one, a pid or a slot number"

    /// The slot of the worker that a name stands for: its id, a pid, a slot number, or the beginning of an id.
    private func place(of name: String) throws(RPCError) -> Rollout.Place {
        let places = self.pools.indices.flatMap { pool in
            self.pools[pool].slots.indices.compactMap { slot in
                self.pools[pool].slots[slot].isWanted ? Rollout.Place(pool: pool, slot: slot) : nil
            }
        }
        func process(_ place: Rollout.Place) -> WorkerProcess? {
            self.pools[place.pool].slots[place.slot].process.map { self.workers[$0] }
        }
        let exact = places.filter { place in
            process(place)?.id == name || process(place)?.pid.map { String($0) } == name
                || String(place.slot) == name
        }
        let found =
            exact.isEmpty && !name.isEmpty
            ? places.filter { process($0)?.id.hasPrefix(name) == true } : exact
        if found.count == 1 { return found[0] }
        let which = found.isEmpty ? places : found
        let known = which.prefix(8).map { place in
            let pool = self.pools[place.pool].configuration.name
            return "\(process(place)?.id ?? "no process") (pool \(pool), slot \(place.slot))"
        }
        let fault = found.isEmpty ? "no worker is meant by" : "\(found.count) workers are meant by"
        throw .invalidParams(
            "worker",
            "\(Self.expectedWorker); \(fault) \(Excerpt.escaped(name)): there "
                + "\(which.count == 1 ? "is" : "are") \(known.joined(separator: ", "))")
    }
}

/// The params of an operator's method: an object, of which every member has to be known.
struct OperatorParams {
    private var members: [JSONValue.Member] = []
    private var asked: [String] = []

    init(_ params: UnsafeRawBufferPointer?) throws(RPCError) {
        guard let params else { return }
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONValue(parsing: params)
        } catch {
            // The grammar was checked; what is left is a number that no Double holds.
            throw .invalidParams(nil, "\(error)")
        }
        // What many libraries send for a method without params.
        guard value.arrayValue?.isEmpty != true else { return }
        guard case .object(let members) = value else { throw .invalidParams(nil, "expected an object") }
        self.members = members
    }

    /// The params of a method that takes none.
    static func expectNone(_ params: UnsafeRawBufferPointer?) throws(RPCError) { try Self(params).finish() }

    private mutating func take(_ name: String) -> JSONValue? {
        self.asked.append(name)
        guard let index = self.members.firstIndex(where: { $0.name == name }) else { return nil }
        let value = self.members.remove(at: index).value
        return value.isNull ? nil : value
    }

    /// A member that is looked at elsewhere.
    mutating func pass(_ name: String) { _ = self.take(name) }

    mutating func string(_ name: String) throws(RPCError) -> String? {
        guard let value = self.take(name) else { return nil }
        if let text = value.stringValue { return text }
        throw .invalidParams(name, "expected a string, found \(value.kindDescription)")
    }

    /// A string, or a number that stands for one: a pid or a slot.
    mutating func name(_ name: String) throws(RPCError) -> String? {
        let number = self.members.first { $0.name == name }?.value.integerValue
        guard let number else { return try self.string(name) }
        self.pass(name)
        return String(number)
    }

    mutating func strings(_ name: String) throws(RPCError) -> [String]? {
        guard let value = self.take(name) else { return nil }
        guard let elements = value.arrayValue else {
            throw .invalidParams(name, "expected an array of strings, found \(value.kindDescription)")
        }
        var strings: [String] = []
        for (index, element) in elements.enumerated() {
            guard let string = element.stringValue else {
                throw .invalidParams(
                    "\(name)[\(index)]", "expected a string, found \(element.kindDescription)")
            }
            strings.append(string)
        }
        return strings
    }

    /// An object or an array.
    mutating func structure(_ name: String) throws(RPCError) -> JSONValue? {
        guard let value = self.take(name) else { return nil }
        switch value {
        case .object, .array: return value
        case .null, .bool, .integer, .double, .string:
            throw .invalidParams(name, "expected an object or an array, found \(value.kindDescription)")
        }
    }

    mutating func flag(_ name: String) throws(RPCError) -> Bool {
        guard let value = self.take(name) else { return false }
        guard let flag = value.boolValue else {
            throw .invalidParams(name, "expected true or false, found \(value.kindDescription)")
        }
        return flag
    }

    mutating func number(_ name: String, in range: ClosedRange<Int>) throws(RPCError) -> Int {
        let expected = "expected a number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = self.take(name) else { throw .invalidParams(name, expected) }
        guard let number = value.integerValue.flatMap({ Int(exactly: $0) }), range.contains(number) else {
            throw .invalidParams(name, "\(expected), found \(Excerpt.escaped(value.text))")
        }
        return number
    }

    /// Refuses what was not asked for.
    func finish() throws(RPCError) {
        guard let unknown = self.members.first else { return }
        let hint = NearestName.find(unknown.name, in: self.asked).map { "; did you mean \($0)?" } ?? ""
        throw .invalidParams(Excerpt.escaped(unknown.name), "unknown member\(hint)")
    }
}
