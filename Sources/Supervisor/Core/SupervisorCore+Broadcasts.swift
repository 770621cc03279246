import Protocol

/// One message to every worker that is there, and what they answer. It needs no free slot.
struct Broadcast {
    enum Purpose {
        /// What of ours was cleared already, by type.
        case clearCache([(type: SupervisorCore.CacheType, count: Int)])
    }

    /// What became of the message at one worker.
    enum Reply {
        case result(JSONValue)
        /// An error object other than −32601, which counts as done.
        case error(JSONValue)
        /// No answer in time, or none that can be read.
        case none
    }

    var purpose: Purpose
    /// The operator's call that waits for it; it may be over before.
    var caller: RequestToken?
    /// Questions that are open, one a worker.
    var open: [RequestToken] = []
    var replies: [(workerID: String, reply: Reply)] = []
}

extension SupervisorCore {
    /// What was heard of a message to a worker.
    enum BroadcastNews {
        case answered(Outcome)
        /// A reply that is none.
        case unreadable
        /// Its time is over.
        case none
        /// The worker is gone, and with it what the message was about.
        case workerLeft
    }

    /// Sends a message to every worker that serves; each has `timeouts.control` to answer, and no longer than the
    /// caller has.
    ///
    /// - Parameter params: JSON text.
    mutating func broadcast(
        _ method: StaticString, _ params: [UInt8], _ purpose: Broadcast.Purpose, caller: RequestToken?,
        _ effects: inout some SupervisorEffects
    ) {
        let broadcast = self.broadcasts.insert(Broadcast(purpose: purpose, caller: caller))
        var deadline = self.now.advanced(by: self.configuration.timeouts.control)
        // Before the caller's own time is over, so that he still hears who answered.
        if let caller {
            deadline = min(deadline, self.requests[caller].deadline.advanced(by: -.milliseconds(5)))
        }
        for worker in self.workers.tokens where self.hearsBroadcasts(worker) {
            let request = self.requests.insert { $0.origin = .broadcast(broadcast, worker) }
            self.requests.setDeadline(request, to: deadline)
            self.broadcasts[broadcast].open.append(request)
            let number = RequestTable.number(of: request)
            effects.send(to: worker) { output in
                MessageWriter.append("{\"jsonrpc\":\"2.0\",\"id\":", to: &output)
                JSONText.append(unsigned: number, to: &output)
                MessageWriter.append(",\"method\":\"", to: &output)
                MessageWriter.append(method, to: &output)
                MessageWriter.append("\",\"params\":", to: &output)
                output.append(contentsOf: params)
                MessageWriter.append("}\n", to: &output)
            }
        }
        self.concludeIfDone(broadcast, &effects)
    }

    private func hearsBroadcasts(_ worker: WorkerToken) -> Bool {
        guard self.workers[worker].role == .serving, self.workers[worker].cutOff == nil else { return false }
        switch self.workers[worker].life.state {
        case .ready, .held, .draining: return true
        case .starting, .terminating, .exited: return false
        }
    }

    mutating func broadcastAnswered(
        _ request: RequestToken, _ news: BroadcastNews, _ effects: inout some SupervisorEffects
    ) {
        guard case .broadcast(let broadcast, let worker) = self.requests[request].origin else {
            preconditionFailure("a message to all that is none")
        }
        self.requests.remove(request)
        self.broadcasts[broadcast].open.removeAll { $0 == request }
        let reply: Broadcast.Reply?
        switch news {
        case .answered(.result(let bytes)):
            reply = .result((try? JSONValue(parsing: bytes)) ?? .null)
        case .answered(.workerError(let bytes)):
            let error = (try? JSONValue(parsing: bytes)) ?? .null
            let isUnknown = error["code"]?.integerValue == Int64(ErrorCode.methodNotFound.rawValue)
            reply = isUnknown ? .result(.null) : .error(error)
        case .answered(.failure), .unreadable, .none: reply = Broadcast.Reply.none
        case .workerLeft: reply = nil
        }
        if let reply {
            self.broadcasts[broadcast].replies.append((self.workers[worker].id, reply))
        }
        self.concludeIfDone(broadcast, &effects)
    }

    /// A worker is going, or is beyond reach: nobody waits for its answers.
    mutating func forgetBroadcasts(to worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        guard self.broadcasts.count > 0 else { return }
        for broadcast in self.broadcasts.tokens {
            let asked = self.broadcasts[broadcast].open.first { request in
                if case .broadcast(_, worker) = self.requests[request].origin { return true }
                return false
            }
            if let asked { self.broadcastAnswered(asked, .workerLeft, &effects) }
        }
    }

    private mutating func concludeIfDone(
        _ broadcast: BroadcastToken, _ effects: inout some SupervisorEffects
    ) {
        guard self.broadcasts[broadcast].open.isEmpty else { return }
        let ended = self.broadcasts[broadcast]
        self.broadcasts.remove(broadcast)
        let result: JSONValue
        switch ended.purpose {
        case .clearCache(let counts): result = Self.cleared(counts, ended.replies)
        }
        guard let caller = ended.caller, self.requests.contains(caller) else { return }
        result.bytes.withUnsafeBytes { self.end(caller, .result($0), &effects) }
    }
}

// MARK: - cache.clear

extension SupervisorCore {
    /// `cache.clear {cache_type?}`: ours at once, then the workers' own.
    mutating func clearCache(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let name = try params.name("cache_type") ?? "all"
        try params.finish()
        let types = name == "all" ? CacheType.allCases : CacheType(rawValue: name).map { [$0] }
        guard let types else {
            let words = CacheType.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            throw .invalidParams("cache_type", "expected one of \(words), \"all\"")
        }
        let counts = types.map { (type: $0, count: self.clear($0)) }
        effects.log(
            .info, "cache.cleared",
            ["cache": .string(name), "by": .string(self.origin(of: incoming))])
        var caller: RequestToken?
        if incoming.id != nil {
            let request = self.register(
                incoming, metadata, .other, pool: 0, timeout: self.configuration.timeouts.controlWait)
            self.requests.setDeadline(request, to: self.requests[request].deadline)
            caller = request
        }
        let message: JSONValue = ["cache_type": .string(name)]
        self.broadcast("cache.clear", message.bytes, .clearCache(counts), caller: caller, &effects)
    }

    /// Ours and the workers' counts together, and which workers did not do it.
    private static func cleared(
        _ counts: [(type: CacheType, count: Int)], _ replies: [(workerID: String, reply: Broadcast.Reply)]
    ) -> JSONValue {
        var totals = counts
        var unanswered: [JSONValue] = []
        var failed: [JSONValue] = []
        for (workerID, reply) in replies {
            switch reply {
            case .result(let result):
                for index in totals.indices {
                    let count = result["cleared"]?[totals[index].type.rawValue]?.integerValue ?? 0
                    totals[index].count += Int(clamping: max(0, min(count, 1 << 40)))
                }
            case .error(let error): failed.append(["worker_id": .string(workerID), "error": error])
            case .none: unanswered.append(.string(workerID))
            }
        }
        var members: [JSONValue.Member] = [
            .init("cleared", .object(totals.map { .init($0.type.rawValue, .integer($0.count)) }))
        ]
        if !unanswered.isEmpty { members.append(.init("unanswered", .array(unanswered))) }
        if !failed.isEmpty { members.append(.init("failed", .array(failed))) }
        return .object(members)
    }
}
