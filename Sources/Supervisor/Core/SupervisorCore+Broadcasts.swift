import Protocol

/// One message to every worker that is there, and what they answer. It needs no free slot.
struct Broadcast {
    enum Purpose {
        /// What of ours was cleared already, by type.
        case clearCache([(type: SupervisorCore.CacheType, count: Int)])
        case initialize(String)
        case destroy(String)
        /// A pipeline that was there before the worker.
        case replay(String)
        /// What the operator is told of an update that was taken.
        case configurationChanged(JSONValue)
    }

    /// What became of the message at one worker.
    enum Reply {
        case result(JSONValue)
        /// −32601: for most messages that counts as done.
        case notKnown
        /// Another error object.
        case error(JSONValue)
        /// No answer in time, or none that can be read.
        case none
    }

    var purpose: Purpose
    /// The operators' calls that wait for it; they may be over before.
    var callers: [RequestToken] = []
    /// Questions that are open, one a worker.
    var open: [RequestToken] = []
    var replies: [(worker: WorkerToken, workerID: String, reply: Reply)] = []
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

    /// Sends a message to every worker that serves.
    ///
    /// - Parameters:
    ///   - params: JSON text.
    ///   - pools: nil: all.
    ///   - patience: how long each may take to answer, but no longer than the caller waits; nil: `timeouts.control`.
    mutating func broadcast(
        _ method: StaticString, _ params: [UInt8], _ purpose: Broadcast.Purpose, to pools: [Int]? = nil,
        caller: RequestToken?, within patience: Nanoseconds? = nil, _ effects: inout some SupervisorEffects
    ) {
        let broadcast = self.broadcasts.insert(
            Broadcast(purpose: purpose, callers: caller.map { [$0] } ?? []))
        var deadline = self.now.advanced(by: patience ?? self.configuration.timeouts.control)
        // Before the caller's own time is over, so that he still hears who answered.
        if let caller {
            deadline = min(deadline, self.requests[caller].deadline.advanced(by: -.milliseconds(5)))
        }
        for worker in self.workers.tokens where self.hearsBroadcasts(worker) {
            guard pools?.contains(self.workers[worker].pool) ?? true else { continue }
            self.tell(worker, method, params, broadcast, deadline, &effects)
        }
        self.concludeIfDone(broadcast, &effects)
    }

    /// Sends such a message to one worker.
    mutating func broadcast(
        _ method: StaticString, _ params: [UInt8], _ purpose: Broadcast.Purpose, toOne worker: WorkerToken,
        within patience: Nanoseconds, _ effects: inout some SupervisorEffects
    ) {
        let broadcast = self.broadcasts.insert(Broadcast(purpose: purpose))
        self.tell(worker, method, params, broadcast, self.now.advanced(by: patience), &effects)
    }

    private mutating func tell(
        _ worker: WorkerToken, _ method: StaticString, _ params: [UInt8], _ broadcast: BroadcastToken,
        _ deadline: Instant, _ effects: inout some SupervisorEffects
    ) {
        let request = self.requests.insert { $0.origin = .broadcast(broadcast, worker) }
        self.requests.setDeadline(request, to: deadline)
        self.broadcasts[broadcast].open.append(request)
        let number = RequestTable.number(of: request)
        var call: [UInt8] = []
        MessageWriter.append("{\"jsonrpc\":\"2.0\",\"id\":", to: &call)
        JSONText.append(unsigned: number, to: &call)
        MessageWriter.append(",\"method\":\"", to: &call)
        MessageWriter.append(method, to: &call)
        MessageWriter.append("\",\"params\":", to: &call)
        call.append(contentsOf: params)
        MessageWriter.append("}", to: &call)
        effects.send(to: worker, call)
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
            reply = isUnknown ? .notKnown : .error(error)
        case .answered(.failure), .unreadable, .none: reply = Broadcast.Reply.none
        case .workerLeft: reply = nil
        }
        if let reply {
            self.broadcasts[broadcast].replies.append((worker, self.workers[worker].id, reply))
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
        let outcome: Result<JSONValue, RPCError>
        switch ended.purpose {
        case .clearCache(let counts): outcome = .success(Self.cleared(counts, ended.replies))
        case .configurationChanged(let changes):
            let members = (changes.objectValue ?? []) + Self.shortfalls(ended.replies)
            outcome = .success(.object(members))
        case .initialize(let id): outcome = self.concludeInitialization(of: id, ended.replies, &effects)
        case .destroy: outcome = .success(.null)
        case .replay(let id):
            return self.concludeReplay(of: id, ended.replies, &effects)
        }
        for caller in ended.callers where self.requests.contains(caller) {
            switch outcome {
            case .success(let result):
                result.bytes.withUnsafeBytes { self.end(caller, .result($0), &effects) }
            case .failure(let error): self.end(caller, .failure(error), &effects)
            }
        }
    }
}

// MARK: - cache.clear

extension SupervisorCore {
    /// `cache.clear {cache_type?}`: ours at once, then the workers' own.
    mutating func clearCache(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let name = try params.string("cache_type") ?? "all"
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
        let caller = self.waitingCaller(incoming, metadata)
        let message: JSONValue = ["cache_type": .string(name)]
        self.broadcast("cache.clear", message.bytes, .clearCache(counts), caller: caller, &effects)
    }

    /// Ours and the workers' counts together, and which workers did not do it.
    private static func cleared(
        _ counts: [(type: CacheType, count: Int)],
        _ replies: [(worker: WorkerToken, workerID: String, reply: Broadcast.Reply)]
    ) -> JSONValue {
        var totals = counts
        for (_, _, reply) in replies {
            guard case .result(let result) = reply else { continue }
            for index in totals.indices {
                let count = result["cleared"]?[totals[index].type.rawValue]?.integerValue ?? 0
                totals[index].count += Int(clamping: max(0, min(count, 1 << 40)))
            }
        }
        let cleared = JSONValue.object(totals.map { .init($0.type.rawValue, .integer($0.count)) })
        return .object([.init("cleared", cleared)] + Self.shortfalls(replies))
    }

    /// Which workers did not do it: those without an answer in time, and those that answered with an error.
    static func shortfalls(
        _ replies: [(worker: WorkerToken, workerID: String, reply: Broadcast.Reply)]
    ) -> [JSONValue.Member] {
        var unanswered: [JSONValue] = []
        var failed: [JSONValue] = []
        for (_, workerID, reply) in replies {
            switch reply {
            case .result, .notKnown: break
            case .error(let error): failed.append(["worker_id": .string(workerID), "error": error])
            case .none: unanswered.append(.string(workerID))
            }
        }
        var members: [JSONValue.Member] = []
        if !unanswered.isEmpty { members.append(.init("unanswered", .array(unanswered))) }
        if !failed.isEmpty { members.append(.init("failed", .array(failed))) }
        return members
    }
}
