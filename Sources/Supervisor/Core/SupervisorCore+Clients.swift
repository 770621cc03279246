import Protocol

/// Clients: connections, their messages, their end.
extension SupervisorCore {
    /// Waiting output above which a connection is not read from.
    private static let highWatermark = 1 << 20
    /// Waiting output below which it is read from again.
    private static let lowWatermark = 256 << 10

    /// A client connected.
    ///
    /// - Parameter isOnControlSocket: it came by the socket that is for operators.
    /// - Returns: nil when there are too many: it shall get `tooManyConnections` and be closed.
    mutating func connectionOpened(_ peer: Peer, isOnControlSocket: Bool = false) -> ConnectionToken? {
        guard self.connections.count < self.limits.connections else { return nil }
        var connection = Connection(peer: peer, isOnControlSocket: isOnControlSocket)
        connection.isOperator = self.isOperator(connection)
        return self.connections.insert(connection)
    }

    /// With a control socket set, nobody is an operator on the other one: who relays for others there relays no
    /// operators' methods, whoever he is.
    func isOperator(_ connection: Connection) -> Bool {
        (self.configuration.controlSocket == nil || connection.isOnControlSocket)
            && self.mayOperate(connection.peer)
    }

    func mayOperate(_ peer: Peer) -> Bool {
        peer.uid == 0 || peer.uid == self.identity.uid || self.configuration.operators.contains(peer.uid)
    }

    /// The line for a connection over the limit.
    static func tooManyConnections(limit: Int) -> [UInt8] {
        let error = RPCError(
            .resourceExhausted, reason: "too_many_connections",
            "Too many connections: at most \(limit) are open at once", retryable: true,
            retryAfterMilliseconds: 1000)
        var line: [UInt8] = []
        MessageWriter.appendErrorHead(id: UnsafeRawBufferPointer(start: nil, count: 0), to: &line)
        error.value(requestID: nil).write(to: &line)
        line.append(contentsOf: "}\n".utf8)
        return line
    }

    /// One whole message of a client.
    mutating func received(
        _ message: UnsafeRawBufferPointer, from connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) {
        switch ClientMessage.scan(message, limits: self.limits.messages) {
        case .request(let envelope):
            self.take(envelope, message, Caller(connection: connection, batch: nil), &effects)
        case .batch(let elements):
            self.takeBatch(elements, message, connection, &effects)
        case .invalid(let reason, let id):
            self.refuse(message, reason, id: id, Caller(connection: connection, batch: nil), &effects)
        case .malformed(let error):
            guard self.holds(.answerGarbage) else { return }
            self.answer(Caller(connection: connection, batch: nil), id: nil, .parseError(error), &effects)
        }
        self.pauseIfNeeded(connection, &effects)
    }

    /// A message over the size limit, of which only the beginning is there.
    mutating func receivedOversize(
        prefix: UnsafeRawBufferPointer, from connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) {
        guard
            case .invalid(let reason, let id) = ClientMessage.oversize(
                prefix: prefix, limits: self.limits.messages)
        else { preconditionFailure("an oversize message is never valid") }
        self.refuse(prefix, reason, id: id, Caller(connection: connection, batch: nil), &effects)
        self.pauseIfNeeded(connection, &effects)
    }

    /// A header that cannot be read: answered, then the connection is closed.
    mutating func receivedUnreadable(
        _ fault: FrameDecoder.HeaderFault, from connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) {
        self.answer(Caller(connection: connection, batch: nil), id: nil, .unreadableHeader(fault), &effects)
        self.inputEnded(connection, &effects)
    }

    /// An unfinished message is held for a client.
    ///
    /// - Returns: false when there is no memory for it: it was refused, and its rest is to be skipped.
    mutating func mayHold(
        _ bytes: Int, prefix: UnsafeRawBufferPointer, for connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) -> Bool {
        let total = Int64(effects.bytesHeldByConnections + self.requests.heldBytes)
        guard total > self.limits.bytesInAll || Int64(bytes) > self.limits.bytesPerConnection else {
            return true
        }
        let id = ClientMessage.recoverID(prefix, limits: self.limits.messages)
        let error = RPCError(
            .resourceExhausted, reason: "memory",
            "No memory for this message: the connections hold \(total) bytes, at most \(self.limits.bytesInAll)",
            retryable: true, retryAfterMilliseconds: 1000)
        self.answer(
            Caller(connection: connection, batch: nil),
            id: id.map { UnsafeRawBufferPointer(rebasing: prefix[$0]) }, error, &effects)
        self.pauseIfNeeded(connection, &effects)
        return false
    }

    /// The client will send nothing more; what it asked is still answered.
    mutating func inputEnded(_ connection: ConnectionToken, _ effects: inout some SupervisorEffects) {
        self.connections[connection].isInputEnded = true
        effects.setReading(false, from: connection)
        self.closeIfDone(connection, &effects)
    }

    /// The client is gone: all that it has in flight is cancelled.
    mutating func disconnected(_ connection: ConnectionToken, _ effects: inout some SupervisorEffects) {
        for request in self.requests.requests(of: connection) {
            self.withdraw(request, &effects)
        }
        for batch in self.batches.tokens where self.batches[batch].connection == connection {
            self.batches[batch].answers = []
            self.batches.remove(batch)
        }
        self.removeTimer(.outputStall, Int(connection.index))
        self.pausedConnections.removeAll { $0 == connection }
        self.forgetSubscriber(connection, &effects)
        self.connections.remove(connection)
    }

    func closeIfDone(_ connection: ConnectionToken, _ effects: inout some SupervisorEffects) {
        guard self.connections.contains(connection), self.connections[connection].isInputEnded,
            self.connections[connection].openBatches == 0, self.requests.open(of: connection) == 0
        else { return }
        effects.closeWhenFlushed(connection)
    }
}

// MARK: - Backpressure

extension SupervisorCore {
    /// Some output could not be sent at once; a client that takes nothing for too long is let go.
    mutating func outputWaits(for connection: ConnectionToken) {
        self.connections[connection].tookOutputAt = self.now
        self.connections[connection].unreadBytes = nil
        self.lookAtOutputLater(connection)
    }

    /// Looks in between: the kernel calls a socket writable only when most of what it holds was read, which a client
    /// that takes a little all the time may need minutes for.
    private mutating func lookAtOutputLater(_ connection: ConnectionToken) {
        let waited = self.now.duration(since: self.connections[connection].tookOutputAt)
        // The last look is on time, however late those before it were.
        let wait = min(self.limits.writeStall / 4, self.limits.writeStall - waited)
        self.setTimer(.outputStall, Int(connection.index), after: max(1, wait))
    }

    /// The client took all that waited.
    mutating func outputIsSent(to connection: ConnectionToken) {
        self.removeTimer(.outputStall, Int(connection.index))
    }

    mutating func outputStalled(_ connection: ConnectionToken, _ effects: inout some SupervisorEffects) {
        let waiting = effects.outputBacklog(of: connection)
        guard waiting > 0, self.holds(.writeStall) else { return }  // taken since
        let unread = effects.unreadBytes(of: connection)
        if let before = self.connections[connection].unreadBytes, unread < before {
            self.connections[connection].tookOutputAt = self.now
        }
        self.connections[connection].unreadBytes = unread
        guard self.now.duration(since: self.connections[connection].tookOutputAt) >= self.limits.writeStall
        else { return self.lookAtOutputLater(connection) }
        effects.log(
            .warning, "client.stalled",
            [
                "peer_uid": .integer(self.connections[connection].peer.uid),
                "peer_pid": .integer(self.connections[connection].peer.pid),
                "bytes_waiting": .integer(waiting),
                "for_ms": .integer(self.limits.writeStall / .milliseconds(1)),
            ])
        effects.abort(connection)
        self.disconnected(connection, &effects)
    }

    private func isTooFull(
        _ connection: ConnectionToken, above watermark: Int, _ effects: some SupervisorEffects
    )
        -> Bool
    {
        let backlog = effects.outputBacklog(of: connection)
        if backlog > watermark { return true }
        let own = Int64(
            backlog + self.connections[connection].batchBytes + self.requests.heldBytes(of: connection))
        if own > self.limits.bytesPerConnection { return true }
        return Int64(self.requests.heldBytes) > self.limits.bytesInAll
    }

    /// A slow reader is not read from, instead of being buffered for without end.
    mutating func pauseIfNeeded(_ connection: ConnectionToken, _ effects: inout some SupervisorEffects) {
        guard self.connections.contains(connection), !self.connections[connection].isPaused,
            self.isTooFull(connection, above: Self.highWatermark, effects), self.holds(.pauseSlowClients)
        else { return }
        self.connections[connection].isPaused = true
        self.pausedConnections.append(connection)
        effects.setReading(false, from: connection)
    }

    mutating func resumeConnections(_ effects: inout some SupervisorEffects) {
        for connection in self.pausedConnections
        where !self.isTooFull(connection, above: Self.lowWatermark, effects) {
            self.connections[connection].isPaused = false
            if !self.connections[connection].isInputEnded { effects.setReading(true, from: connection) }
        }
        self.pausedConnections.removeAll { !self.connections[$0].isPaused }
    }
}

// MARK: - Messages

/// Where an answer goes: a connection, as a message of its own or as an element of a batch's array.
struct Caller: Equatable {
    var connection: ConnectionToken
    var batch: BatchToken?
}

extension SupervisorCore {
    private mutating func takeBatch(
        _ elements: [Range<Int>], _ message: UnsafeRawBufferPointer, _ connection: ConnectionToken,
        _ effects: inout some SupervisorEffects
    ) {
        let batch = self.batches.insert(Batch(connection: connection, open: 1))
        self.connections[connection].openBatches += 1
        let caller = Caller(connection: connection, batch: batch)
        for element in elements {
            switch ClientMessage.scanElement(message, element, limits: self.limits.messages) {
            case .request(let envelope):
                if envelope.id != nil { self.batches[batch].open += 1 }
                self.take(envelope, message, caller, &effects)
            case .invalid(let reason, let id):
                self.batches[batch].open += 1
                self.refuse(message, reason, id: id, caller, &effects)
            case .malformed, .batch:
                preconditionFailure("an element of an accepted batch is malformed")
            }
        }
        self.closeShare(of: batch, &effects)
    }

    private mutating func refuse(
        _ message: UnsafeRawBufferPointer, _ reason: InvalidRequestReason, id: Range<Int>?, _ caller: Caller,
        _ effects: inout some SupervisorEffects
    ) {
        let id = id.map { UnsafeRawBufferPointer(rebasing: message[$0]) }
        self.answer(caller, id: id, .invalidRequest(reason, limits: self.limits.messages), &effects)
    }

    /// A call or a notification.
    private mutating func take(
        _ envelope: RequestEnvelope, _ message: UnsafeRawBufferPointer, _ caller: Caller,
        _ effects: inout some SupervisorEffects
    ) {
        var incoming = IncomingRequest(envelope, message, caller)
        let route = incoming.withMethod { self.methods.route($0) }
        switch route {
        case .local(_, let method), .worker(let method): incoming.method = method
        case .reserved: break
        }
        var metadata = RequestMetadata()
        if let range = envelope.metadata {
            do throws(RPCError) {
                metadata = try RequestMetadata(scanning: message, range, limits: self.limits.messages)
            } catch {
                return self.refuse(incoming, error, &effects)
            }
        }
        switch route {
        case .local(let method, _):
            self.answerLocally(method, incoming, metadata, &effects)
        case .reserved:
            self.refuse(incoming, .methodNotFound(incoming.methodText), &effects)
        case .worker(let method):
            self.accept(incoming, metadata, method, &effects)
        }
    }

    /// Answers a call with an error; a notification is never answered.
    ///
    /// - Parameter requestID: the one it goes by, if that was decided before.
    mutating func refuse(
        _ incoming: IncomingRequest, _ error: RPCError, requestID: String? = nil,
        _ effects: inout some SupervisorEffects
    ) {
        let requestID = requestID ?? self.requestID(of: incoming)
        guard let id = incoming.id else {
            let connection = incoming.caller.connection
            return self.noteBadMessage(from: connection, error, requestID: requestID, &effects)
        }
        self.count(incoming, isError: true)
        self.endStream(incoming, error, &effects)
        self.answer(
            incoming.caller, id: id, error, requestID: requestID,
            wantsMetadata: incoming.wantsMetadata, &effects)
    }

    private mutating func answerLocally(
        _ method: MethodTable.LocalMethod, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) {
        switch method {
        case .cancelRequest, .cancelled:
            self.cancel(incoming, member: method == .cancelRequest ? "id" : "requestId", &effects)
            self.answer(incoming, result: .null, &effects)
        case .ping:
            let seconds = Double(self.wallClock) / 1000
            self.answer(incoming, result: ["message": "pong", "timestamp": .double(seconds)], &effects)
        case .status:
            let isOperator = self.connections[incoming.caller.connection].isOperator
            self.answer(incoming, result: self.status(forOperator: isOperator, &effects), &effects)
        case .listPipelines:
            self.answer(incoming, result: self.pipelineList, &effects)
        case .metrics:
            self.answerMetrics(incoming, metadata, &effects)
        case .validateConfiguration: self.validateConfiguration(incoming, &effects)
        case .subscribe, .unsubscribe, .systemInfo, .healthDetailed, .discover, .explain:
            self.answerAtOnce(method, incoming, &effects)
        case .restart, .reload, .drain, .scale, .stop, .clearCache, .initializePipeline, .destroyPipeline,
            .updateConfiguration, .reloadConfiguration:
            self.answerOperator(method, incoming, metadata, &effects)
        }
    }
}
