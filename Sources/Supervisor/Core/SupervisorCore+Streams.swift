import Protocol

/// Answers that come in chunks: passed on as they come, bounded, ended by exactly one final chunk.
extension SupervisorCore {
    /// A worker's `stream_chunk`.
    mutating func takeChunk(
        _ notification: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        let params = notification.params.map { UnsafeRawBufferPointer(rebasing: line[$0]) }
        switch StreamChunk.read(params) {
        case .refused(let fault): self.refuseChunk(fault, worker, &effects)
        case .chunk(let chunk):
            guard let params, let call = self.call(chunk.call, on: worker),
                self.requests[call].state == .inFlight(worker)
            else { return self.countLateReply(worker) }
            guard let caller = self.streamCaller(of: call) else { return }
            guard self.requests[caller].stream.state != .ended || !self.holds(.noChunkAfterFinal) else {
                return self.countLateReply(worker)
            }
            self.passOn(
                chunk, UnsafeRawBufferPointer(rebasing: params[chunk.data]), of: call, to: caller, &effects)
        }
    }

    /// Logged once a process: what sends one such chunk sends thousands.
    private mutating func refuseChunk(
        _ fault: String, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        guard !self.workers[worker].hasSentBadChunk else { return }
        self.workers[worker].hasSentBadChunk = true
        self.log(.warning, "worker.bad_chunk", of: worker, ["error": .string(fault)], &effects)
    }

    /// Who gets the chunks of a call: its caller, or the only one who waits for its flight. Where several wait, none
    /// gets any: those who joined have missed what came before, and all get the result. What was decided at the first
    /// chunk stays.
    private mutating func streamCaller(of call: RequestToken) -> RequestToken? {
        guard let flight = self.requests[call].flight else { return call }
        switch self.requests[call].stream.state {
        case .muted: return nil
        case .open, .ended: return self.requests.firstWaiter(for: flight)
        case .none:
            // A call that is answered in chunks is nothing that others can share.
            self.requests.closeFlight(flight)
            let isShared = self.requests.flights[flight].waiters.count != 1
            guard !isShared, self.requests[call].embedding == nil else {
                self.requests[stream: call].state = .muted
                return nil
            }
            self.requests[stream: call].state = .open
            return self.requests.firstWaiter(for: flight)
        }
    }

    private mutating func passOn(
        _ chunk: StreamChunk, _ data: UnsafeRawBufferPointer, of call: RequestToken, to caller: RequestToken,
        _ effects: inout some SupervisorEffects
    ) {
        guard case .client(let connection, _) = self.requests[caller].origin else {
            preconditionFailure("chunks for \(self.requests[caller].origin)")
        }
        guard self.hasRoom(for: data.count, of: caller, connection, &effects) || !self.holds(.streamBound)
        else {
            return self.endSlowly(call, caller, &effects)
        }
        if !self.requests[call].stream.hasBegun { self.beginStream(of: call, to: caller) }
        let before = effects.outputBacklog(of: connection)
        self.sendChunk(chunk.kind, data, isFinal: chunk.isFinal, to: caller, connection, &effects)
        let backlog = effects.outputBacklog(of: connection)
        self.requests[stream: caller].waiting.chunks += 1
        self.requests[stream: caller].waiting.bytes += backlog - before
        self.connections[connection].chunks.append(
            ChunkBacklog.Entry(
                end: effects.sentBytes(of: connection) + backlog, bytes: backlog - before, stream: caller))
        self.pauseIfNeeded(connection, &effects)
    }

    /// The first chunk is passed on: from here on the call is not sent again, and has the times of a stream.
    private mutating func beginStream(of call: RequestToken, to caller: RequestToken) {
        // Where it is shared, what was passed on is counted with the one who waits.
        if call != caller { self.requests[stream: call].sequence = 1 }
        self.requests[stream: caller].state = .open
        var deadline = self.requests[caller].deadline
        if !self.requests[caller].stream.hasOwnTimeout,
            self.methods.hasStandardTimeout(self.requests[caller].method)
        {
            deadline = self.requests[caller].arrivedAt.advanced(by: self.methods.streamTimeout)
        }
        self.requests.beginStream(caller, of: call, deadline: deadline)
        self.requests.setDeadline(caller, to: min(deadline, self.now.advanced(by: self.streamIdle)))
    }

    /// Writes one chunk to the caller of a request.
    private mutating func sendChunk(
        _ kind: StreamChunk.Kind, _ data: UnsafeRawBufferPointer, isFinal: Bool, to caller: RequestToken,
        _ connection: ConnectionToken, _ effects: inout some SupervisorEffects
    ) {
        effects.send(
            to: connection,
            ChunkMessage(
                requestID: self.requests[caller].bytes[self.requests[caller].streamName],
                sequence: self.requests[caller].stream.sequence, kind, data: data, isFinal: isFinal))
        self.requests[stream: caller].sequence += 1
        self.requests[stream: caller].passedOnAt = self.now
        if isFinal { self.requests[stream: caller].state = .ended }
    }
}

// MARK: - The end

extension SupervisorCore {
    /// Before a call is answered that owes a final chunk, the chunk is sent.
    mutating func endStream(
        of request: RequestToken, _ outcome: Outcome, _ effects: inout some SupervisorEffects
    ) {
        guard case .client(let connection, _) = self.requests[request].origin, self.holds(.finalChunk),
            self.requests[request].stream.hasBegun || !Self.isUnstreamed(outcome)
        else { return }
        let data = Self.finalData(Self.streamReason(outcome))
        data.withUnsafeBytes {
            self.sendChunk(.metadata, $0, isFinal: true, to: request, connection, &effects)
        }
    }

    /// The same for a call that never got a place in the table.
    mutating func endStream(
        _ incoming: IncomingRequest, _ error: RPCError, _ effects: inout some SupervisorEffects
    ) {
        guard let id = incoming.id, !Self.unstreamedCodes.contains(error.code), self.holds(.finalChunk),
            incoming.withMethod({ $0.elementsEqual("rag.stream".utf8) })
        else { return }
        var name: [UInt8] = []
        if let requestID = self.requestID(of: incoming) {
            JSONText.append(string: requestID, to: &name)
        } else {
            name.append(contentsOf: id)
        }
        let isQuoted = name.first == UInt8(ascii: "\"")
        let data = Self.finalData(Self.streamReason(.failure(error)))
        name.withUnsafeBytes { name in
            data.withUnsafeBytes { data in
                let name = isQuoted ? UnsafeRawBufferPointer(rebasing: name[1..<name.count - 1]) : name
                effects.send(
                    to: incoming.caller.connection,
                    ChunkMessage(requestID: name, sequence: 0, .metadata, data: data, isFinal: true))
            }
        }
    }

    /// Answers to what was no call, or none for its caller: without a chunk before them they are no stream's end.
    private static let unstreamedCodes: [ErrorCode] = [
        .parseError, .invalidRequest, .methodNotFound, .notPermitted,
    ]

    private static func isUnstreamed(_ outcome: Outcome) -> Bool {
        switch outcome {
        case .result: return false
        case .failure(let error): return self.unstreamedCodes.contains(error.code)
        case .workerError(let error):
            guard let code = ParamsReader.value("code", in: error) else { return false }
            return self.unstreamedCodes.contains { code.elementsEqual(String($0.rawValue).utf8) }
        }
    }

    /// Why a stream ends, as the final chunk says it.
    private static func streamReason(_ outcome: Outcome) -> String {
        switch outcome {
        case .result: "done"
        case .workerError: "error"
        case .failure(let error): error.reason == "deadline_exceeded" ? "timeout" : error.reason
        }
    }

    private static func finalData(_ reason: String) -> [UInt8] {
        (["reason": .string(reason)] as JSONValue).bytes
    }
}

// MARK: - Slow consumers

extension SupervisorCore {
    /// Whether a chunk may be added to what waits for its connection. Before it may not, what waits is offered to the
    /// kernel: of a client that reads nothing waits.
    private mutating func hasRoom(
        for bytes: Int, of caller: RequestToken, _ connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) -> Bool {
        self.settleChunks(of: connection, effects)
        if self.fits(bytes, caller, connection, effects) { return true }
        effects.flushOutput(of: connection)
        self.settleChunks(of: connection, effects)
        return self.fits(bytes, caller, connection, effects)
    }

    /// Takes what was sent from the counts of the connection's streams.
    private mutating func settleChunks(of connection: ConnectionToken, _ effects: some SupervisorEffects) {
        let sent = effects.sentBytes(of: connection)
        while let entry = self.connections[connection].chunks.popSent(sent) {
            // Those of a stream that is over concern nobody any more.
            guard self.requests.contains(entry.stream) else { continue }
            self.requests[stream: entry.stream].waiting.chunks -= 1
            self.requests[stream: entry.stream].waiting.bytes -= entry.bytes
        }
    }

    /// A chunk beyond the limits of its connection, or of all, ends its stream as one beyond the stream's own does: else
    /// many streams of one client would hold as many mebibytes.
    private func fits(
        _ bytes: Int, _ caller: RequestToken, _ connection: ConnectionToken, _ effects: some SupervisorEffects
    ) -> Bool {
        let waiting = self.requests[caller].stream.waiting
        guard waiting.chunks < Stream.waitingChunks,
            waiting.bytes == 0 || waiting.bytes + bytes <= Stream.waitingBytes
        else { return false }
        let backlog = effects.outputBacklog(of: connection)
        guard backlog > 0 else { return true }
        let own = backlog + self.connections[connection].batchBytes + bytes
        guard Int64(own) <= self.limits.bytesPerConnection else { return false }
        // To add up what all connections hold takes time: only one that is behind is asked for it.
        return backlog < Stream.waitingBytes
            || Int64(effects.bytesHeldByConnections + self.requests.heldBytes + bytes)
                <= self.limits.bytesInAll
    }

    /// The client does not read as fast as the worker writes: its stream ends, and the worker is told to stop.
    private mutating func endSlowly(
        _ call: RequestToken, _ caller: RequestToken, _ effects: inout some SupervisorEffects
    ) {
        let waiting = self.requests[caller].stream.waiting
        let error = RPCError(
            .resourceExhausted, reason: "slow_consumer",
            "The stream was ended: \(waiting.chunks) chunks (\(waiting.bytes) bytes) wait for this connection to read them"
        )
        if call == caller {
            self.abandon(call, answering: error, &effects)
        } else {
            self.end(caller, .failure(error), &effects)
        }
    }
}

// MARK: - Invariants

extension SupervisorCore {
    /// What waits of each stream is what its connection's backlog holds of it. O(connections + chunks)
    func checkStreams() {
        var waiting: [RequestToken: (chunks: Int, bytes: Int)] = [:]
        for connection in self.connections.tokens {
            for entry in self.connections[connection].chunks.unsent {
                waiting[entry.stream, default: (0, 0)].chunks += 1
                waiting[entry.stream, default: (0, 0)].bytes += entry.bytes
            }
        }
        // With its caller a call loses its place in that backlog.
        for request in self.requests.all where self.requests[request].connection != nil {
            let stream = self.requests[request].stream
            precondition(stream.waiting == waiting[request] ?? (0, 0), "chunks that wait: \(stream)")
            precondition(stream.waiting.chunks <= stream.sequence, "more chunks wait than were passed on")
        }
    }
}

// MARK: - Time

extension SupervisorCore {
    var streamIdle: Nanoseconds { self.configuration.timeouts.streamIdle }

    /// When a call that is sent now, or goes on, has been without a chunk for too long: `rag.stream` from the moment
    /// it was sent, others from their first chunk.
    func idleLimit(of request: RequestToken) -> Instant {
        guard self.requests[request].stream.isTimed else { return .distantFuture }
        let isStreaming = self.requests[request].stream.hasBegun
        let since =
            isStreaming ? self.requests[request].stream.passedOnAt : self.requests[request].dispatchedAt
        return since.advanced(by: self.streamIdle)
    }

    /// The timer of a stream rang. It is not set again with every chunk, so there may be time left: then it is set to
    /// the end of that.
    mutating func goesOn(_ request: RequestToken) -> Bool {
        switch self.requests[request].state {
        case .inFlight, .waiting: break
        case .queued, .abandoned, .none: return false
        }
        let limit = min(self.requests[request].deadline, self.idleLimit(of: request))
        guard limit > self.now else { return false }
        self.requests.setDeadline(request, to: limit)
        return true
    }

    /// The error of a stream without chunks.
    func idled(_ request: RequestToken) -> RPCError {
        RPCError(
            .communicationTimeout, reason: "stream_idle",
            "No chunk within \(self.streamIdle / .milliseconds(1)) ms",
            retryable: self.methods.isIdempotent(
                self.requests[request].method, in: self.requests[request].pool))
    }

    /// How long a worker may take for a call whose caller is gone.
    func allowedTime(of request: RequestToken) -> Nanoseconds {
        let method = self.requests[request].method
        guard self.requests[request].stream.hasBegun, self.methods.hasStandardTimeout(method) else {
            return self.methods.timeout(of: method)
        }
        return self.methods.streamTimeout
    }
}
