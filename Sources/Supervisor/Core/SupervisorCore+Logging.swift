import Protocol

/// What the log says of workers, calls and clients: the same fields under the same names everywhere (docs/logs.md).
extension SupervisorCore {
    typealias LogFields = KeyValuePairs<StaticString, LogValue>

    /// Logs what happened to a worker; which one, and where it belongs, comes first.
    func log(
        _ level: LogLevel, _ event: StaticString, of worker: WorkerToken,
        _ fields: @autoclosure () -> LogFields = [:], _ effects: inout some SupervisorEffects
    ) {
        guard effects.isLogged(level) else { return }
        let fields = self.identity(of: worker) + Array(fields())
        effects.log(LogRecord(level: level, event: event, fields: fields))
    }

    /// Logs what happened to a call at a worker.
    func log(
        _ level: LogLevel, _ event: StaticString, of call: RequestToken, on worker: WorkerToken,
        _ fields: @autoclosure () -> LogFields = [:], _ effects: inout some SupervisorEffects
    ) {
        guard effects.isLogged(level) else { return }
        let fields = self.identity(of: call) + self.identity(of: worker) + Array(fields())
        effects.log(LogRecord(level: level, event: event, fields: fields))
    }

    private func identity(of worker: WorkerToken) -> [LogFields.Element] {
        let process = self.workers[worker]
        return [
            ("worker_id", .string(process.id)),
            ("pool", .string(self.pools[process.pool].configuration.name)), ("slot", .integer(process.slot)),
        ]
    }

    private func identity(of call: RequestToken) -> [LogFields.Element] {
        let method = self.requests.withParts(of: call) {
            JSONScanner.unescaped($0.method, 0..<$0.method.count)
        }
        return [("request_id", .string(self.requests[call].requestIDText)), ("method", .string(method))]
    }

    /// A worker leaves its place to another process.
    ///
    /// - Parameter newcomer: the one that has it now; nil: it is only about to be started.
    func logReplacement(
        of worker: WorkerToken, by newcomer: WorkerToken?, _ reason: DepartureReason,
        _ effects: inout some SupervisorEffects
    ) {
        guard let newcomer else {
            return self.log(
                .warning, "worker.replaced", of: worker, ["reason": .string(reason.rawValue)], &effects)
        }
        self.log(
            .info, reason == .restarted ? "worker.replaced" : "worker.recycled", of: worker,
            ["reason": .string(reason.rawValue), "replaced_by": .string(self.workers[newcomer].id)], &effects)
    }
}

// MARK: - Calls

extension SupervisorCore {
    /// A call has been answered: one that took too long is logged, with where the time went.
    mutating func noteDuration(
        of call: RequestToken, _ outcome: Outcome, by worker: WorkerToken?,
        _ effects: inout some SupervisorEffects
    ) {
        let duration = self.now.duration(since: self.requests[call].arrivedAt)
        guard duration > self.slowCalls.limit else { return }
        // An operator's call waits for workers as long as they take.
        guard self.requests[call].state != .none, let leftOut = self.slowCalls.admit(at: self.now) else {
            return
        }
        let phases = self.phases(of: call)
        var fields = self.identity(of: call)
        if let worker {
            fields += self.identity(of: worker)
        } else {
            fields.append(("pool", .string(self.pools[self.requests[call].pool].configuration.name)))
        }
        fields += [
            ("total_ms", .number(duration.inMilliseconds)),
            ("queue_ms", .number(phases.queue.inMilliseconds)),
            ("worker_ms", .number(phases.worker.inMilliseconds)),
            ("cache", .string(self.requests[call].cacheUse.word)), ("attempts", .integer(phases.attempts)),
            ("outcome", .string(Self.word(for: outcome))), ("left_out", .integer(leftOut)),
        ]
        effects.log(LogRecord(level: .warning, event: "request.slow", fields: fields))
    }

    /// `ok`, or the code of the error.
    private static func word(for outcome: Outcome) -> String {
        switch outcome {
        case .result: return "ok"
        case .failure(let error): return String(error.code.rawValue)
        case .workerError(let error):
            return ParamsReader.value("code", in: error).map { String(decoding: $0, as: UTF8.self) }
                ?? "error"
        }
    }
}

// MARK: - Clients

extension SupervisorCore {
    /// A message that breaks the contract was answered. Whoever sends one sends more: the first of each connection is
    /// logged, with the id that its answer carries.
    ///
    /// - Parameter requestID: nil where there was no answer, and the client gave none.
    mutating func noteBadMessage(
        from connection: ConnectionToken, _ error: RPCError, requestID: String?,
        _ effects: inout some SupervisorEffects
    ) {
        switch error.code {
        case .parseError, .invalidRequest, .methodNotFound, .invalidParams: break
        default: return
        }
        guard !self.connections[connection].hasSentBadMessage else { return }
        self.connections[connection].hasSentBadMessage = true
        let peer = self.connections[connection].peer
        effects.log(
            .info, "client.bad_message",
            [
                "request_id": .string(requestID ?? ""), "peer_uid": .integer(peer.uid),
                "peer_pid": .integer(peer.pid), "code": .integer(error.code.rawValue),
                "reason": .string(error.reason), "error": .string(error.message),
            ])
    }
}
