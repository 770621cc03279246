import Protocol

@testable import Supervisor

/// What clients do.
extension VirtualWorld {
    mutating func connect() {
        let isOperator = !self.happens(0.3)
        let peer = Peer(pid: Int32(self.clients.count), uid: isOperator ? 1000 : 2000)
        let isFull = self.core.connections.count >= self.core.limits.connections
        guard let token = self.core.connectionOpened(peer) else {
            if !isFull { self.violate(Violation(.contract, "a connection was refused")) }
            return
        }
        if isFull { return self.violate(Violation(.contract, "a connection too many was accepted")) }
        self.clientIndices[token] = self.clients.count
        self.clients.append(VirtualClient(token, isOperator: isOperator))
        self.schedule(.clientActs(self.clients.count - 1), after: VirtualWorker.delay(0...50, &self.random))
    }

    mutating func act(_ index: Int) {
        self.actionsLeft -= 1
        if self.actionsLeft == 0, self.weather.stopsAfter == nil { self.schedule(.peace, after: 0) }
        guard self.actionsLeft > 0 else { return }
        if self.clients[index].isGone { return self.connect() }
        self.schedule(.clientActs(index), after: VirtualWorker.delay(self.weather.pace, &self.random))
        let token = self.clients[index].token
        guard !self.clients[index].hasHalfClosed, !self.effects.paused.contains(token) else { return }
        if self.happens(self.weather.stalls) { self.stall(token) }
        if self.happens(self.weather.garbage) { return self.sendGarbage(index) }
        if self.happens(self.weather.cancels) { return self.cancelSomething(index) }
        if self.happens(self.weather.leaves) { return self.leave(index) }
        if self.happens(self.weather.controls) { return self.control(index) }
        if !self.ledger.poison.isEmpty, self.happens(0.2) { return self.poisonAgain(index) }
        switch Int.random(in: 0..<100, using: &self.random) {
        case 0..<76: self.call(index)
        case 76..<86: self.sendBatch(index)
        case 86..<92: self.tell(index)
        case 92..<98: self.askTheSupervisor(index)
        default: self.halfClose(index)
        }
    }

    private mutating func send(_ text: String, _ index: Int) {
        let token = self.clients[index].token
        Array(text.utf8).withUnsafeBytes { self.core.received($0, from: token, &self.effects) }
    }

    // MARK: Calls

    private mutating func call(_ index: Int) {
        let text = self.makeCall(index)
        self.send(text, index)
    }

    private mutating func sendBatch(_ index: Int) {
        let count = Int.random(in: 1...5, using: &self.random)
        let before = Set(self.clients[index].open.values)
        let texts = (0..<count).map { _ in self.makeCall(index) }
        let calls = Set(self.clients[index].open.values).subtracting(before)
        let due = calls.compactMap { self.ledger.calls[$0]?.due }.max() ?? self.now
        for nonce in calls {
            self.ledger.calls[nonce]?.due = due
            self.ledger.calls[nonce]?.isInBatch = true
        }
        self.send("[\(texts.joined(separator: ","))]", index)
    }

    /// A call with a nonce, noted as open.
    private mutating func makeCall(_ index: Int) -> String {
        if self.weather.profile == .streams, self.happens(0.5) {
            return self.makeCall(index, "rag.stream", nil, self.route("rag.stream", nil))
        }
        let methods = [
            "rag.stream", "rag.execute", "rag.execute", "rag.execute", "job.run", "job.run", "health.check",
            "no.pool",
            "config.x",
        ]
        let method = methods.randomElement(using: &self.random) ?? "job.run"
        let technique = ["rag.execute", "rag.stream"].contains(method) ? self.makeTechnique() : nil
        return self.makeCall(index, method, technique, self.route(method, technique))
    }

    private mutating func makeTechnique() -> String? {
        ["alpha", "beta", "gamma", "delta", nil].randomElement(using: &self.random) ?? nil
    }

    private mutating func makeCall(
        _ index: Int, _ method: String, _ technique: String?, _ expectation: Ledger.Expectation
    ) -> String {
        let nonce = Int64.random(in: 0...1 << 40, using: &self.random)
        var params = CallText.params(nonce, technique, &self.random)
        if self.happens(self.weather.poison), case .object(let members) = params {
            params = .object(members + [.init("poison", true)])
        }
        var timeout = self.ledger.timeout(of: method)
        var metadata: [String] = []
        if self.happens(self.weather.ownTimeouts) {
            let asked = Int64.random(in: 1...3000, using: &self.random)
            metadata.append("\"timeout_ms\":\(asked)")
            timeout = min(.milliseconds(asked), self.ledger.configuration.timeouts.max)
        }
        let hasOwnTimeout = !metadata.isEmpty
        let id = self.clients[index].makeID(&self.random)
        var name = VirtualClient.name(id)
        if self.happens(0.2) {
            name = "request \(nonce)"
            metadata.append("\"request_id\":\"\(name)\"")
        }
        self.clients[index].streams[name] = nonce
        self.clients[index].open[VirtualClient.key(id)] = nonce
        let deadline = self.now.advanced(by: timeout)
        self.ledger.calls[nonce] = Ledger.Call(
            nonce: nonce, client: index, method: method, params: params, sentAt: self.now, deadline: deadline,
            due: deadline, expectation: expectation, queuedAt: self.now, hasOwnTimeout: hasOwnTimeout)
        self.note(.called(nonce))
        return CallText.write(
            id: id, method: method, params: params, metadata: "{\(metadata.joined(separator: ","))}",
            &self.random)
    }

    /// Where a call goes, by the configuration.
    private func route(_ method: String, _ technique: String?) -> Ledger.Expectation {
        let pools = self.ledger.configuration.pools
        guard !method.hasPrefix("config.") else { return .refused(-32601) }
        let name = Array(method.utf8)
        let matching = pools.indices.filter { pool in
            pools[pool].methods.contains { glob in name.withUnsafeBytes { Glob(glob).matches($0) } }
        }
        guard let first = matching.first else {
            return method == "health.check" ? .worker(pool: 0) : .refused(-32601)
        }
        guard let technique else { return .worker(pool: first) }
        let routed = self.ledger.configuration.loadBalancer.techniqueRouting[technique]
        if let pool = matching.first(where: { pools[$0].name == routed }) { return .worker(pool: pool) }
        let offering = matching.first { pools[$0].techniques?.contains(technique) ?? true }
        return offering.map { .worker(pool: $0) } ?? .refused(1001)
    }

    /// What the supervisor answers itself, whatever goes on; and what is not for everybody.
    private mutating func askTheSupervisor(_ index: Int) {
        let isOperator = self.clients[index].isOperator
        let methods =
            isOperator ? ["ping", "supervisor.status"] : ["ping", "supervisor.status", "supervisor.stop"]
        let method = methods.randomElement(using: &self.random) ?? "ping"
        let expectation = method == "supervisor.stop" ? Ledger.Expectation.refused(-32001) : .immediate
        let text = self.makeCall(index, method, nil, expectation)
        self.send(text, index)
    }

    /// The same request as one that has cost two workers their lives, spelled otherwise, from the same user.
    private mutating func poisonAgain(_ index: Int) {
        guard let nonce = self.ledger.poison.randomElement(using: &self.random),
            var call = self.ledger.calls[nonce], call.isAnswered,
            self.clients[call.client].isOperator == self.clients[index].isOperator
        else { return }
        call.isPoison = true
        call.isAnswered = false
        call.isInBatch = false
        call.isCancelled = false
        call.client = index
        call.attempts = 0
        call.fate = nil
        call.stream = Ledger.StreamBooks()
        call.hasOwnTimeout = false
        call.sentAt = self.now
        call.deadline = self.now.advanced(by: self.ledger.timeout(of: call.method))
        call.due = call.deadline
        call.expectation = .refused(2003)
        self.ledger.calls[nonce] = call
        let id = self.clients[index].makeID(&self.random)
        self.clients[index].open[VirtualClient.key(id)] = nonce
        self.clients[index].streams[VirtualClient.name(id)] = nonce
        self.note(.called(nonce))
        self.send(
            CallText.write(id: id, method: call.method, params: call.params, metadata: "{}", &self.random),
            index)
    }

    /// What operators ask for: restarts, reloads (also to programs that fail), other sizes, workers to look at.
    private mutating func control(_ index: Int) {
        guard self.clients[index].isOperator else { return }
        let wait = Bool.random(using: &self.random)
        let slot = Int.random(in: 0...3, using: &self.random)
        let requests = [
            ("supervisor.restart", "{\"rolling\":true,\"wait\":\(wait)}"),
            ("supervisor.restart", "{\"worker\":\"\(slot)\",\"wait\":\(wait)}"),
            ("supervisor.reload", "{\"wait\":\(wait)}"), ("supervisor.drain", "{\"worker\":\(slot)}"),
            ("supervisor.scale", "{\"workers\":\(slot + 1),\"pool\":\"first\"}"),
        ]
        let isResized = self.weather.isResized
        guard let (method, params) = requests.dropLast(isResized ? 0 : 1).randomElement(using: &self.random)
        else { return }
        if method == "supervisor.reload" { self.changeConfiguration() }
        if ["supervisor.reload", "supervisor.restart"].contains(method) { self.note(.rolloutAsked) }
        let nonce = Int64.random(in: 0...1 << 40, using: &self.random)
        let id = self.clients[index].makeID(&self.random)
        self.clients[index].open[VirtualClient.key(id)] = nonce
        let deadline = self.now.advanced(by: self.ledger.timeout(of: method))
        self.ledger.calls[nonce] = Ledger.Call(
            nonce: nonce, client: index, method: method, params: .null, sentAt: self.now, deadline: deadline,
            due: deadline, expectation: .control, queuedAt: self.now)
        self.note(.asked("\(method) \(params)"))
        self.send(
            "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\",\"params\":\(params),\"metadata\":{}}",
            index)
    }

    /// What the next reload reads.
    private mutating func changeConfiguration() {
        let commands = [["worker"], ["dies"], ["never"]]
        self.effects.configuration.pools[0].command =
            commands.randomElement(using: &self.random) ?? ["worker"]
        guard self.weather.isResized else { return }
        let least = Int.random(in: 1...3, using: &self.random)
        self.effects.configuration.pools[0].minWorkers = least
        self.effects.configuration.pools[0].maxWorkers = least + Int.random(in: 0...2, using: &self.random)
    }

    /// A notification, which a worker must not get twice.
    private mutating func tell(_ index: Int) {
        let nonce = Int64.random(in: 0...1 << 40, using: &self.random)
        let params = CallText.params(nonce, nil, &self.random)
        let deadline = self.now.advanced(by: self.ledger.timeout(of: "job.run"))
        self.ledger.calls[nonce] = Ledger.Call(
            nonce: nonce, client: index, method: "job.run", params: params, sentAt: self.now,
            deadline: deadline,
            due: deadline, expectation: .worker(pool: 0), queuedAt: self.now, isNotification: true)
        let text = CallText.write(
            id: nil, method: "job.run", params: params, metadata: nil, &self.random)
        self.send(text, index)
    }

    private mutating func sendGarbage(_ index: Int) {
        guard let garbage = Garbage.all.randomElement(using: &self.random) else { return }
        let id = self.clients[index].makeID(&self.random)
        self.clients[index].awaitedRefusal = (garbage.code, garbage.hasID ? VirtualClient.key(id) : "null")
        let text = garbage.text.replacing("ID", with: id)
        guard garbage.isOversize else { return self.send(text, index) }
        let token = self.clients[index].token
        Array(text.utf8).withUnsafeBytes {
            self.core.receivedOversize(prefix: $0, from: token, &self.effects)
        }
    }

    private mutating func cancelSomething(_ index: Int) {
        let open = self.clients[index].open.sorted { $0.value < $1.value }
        guard let (id, nonce) = open.randomElement(using: &self.random) else { return }
        self.ledger.calls[nonce]?.isCancelled = true
        self.note(.clientCancelled(nonce))
        let (method, member) =
            Bool.random(using: &self.random)
            ? ("$/cancelRequest", "id") : ("notifications/cancelled", "requestId")
        self.send("{\"jsonrpc\":\"2.0\",\"method\":\"\(method)\",\"params\":{\"\(member)\":\(id)}}", index)
    }

    /// After the audit: as many calls as the first pool can take at once, on connections of their own.
    mutating func probe() {
        let capacity = self.ledger.capacity(of: 0, self.core)
        let limit = self.core.limits.inFlightPerConnection
        for start in stride(from: 0, to: capacity, by: limit) {
            let before = self.clients.count
            self.connect()
            guard self.clients.count > before else { return }
            for _ in start..<min(capacity, start + limit) {
                let text = self.makeCall(before, "job.run", nil, .worker(pool: 0))
                self.send(text, before)
            }
        }
        self.judges.cancels.probe = (capacity, self.ledger.step)
    }

    // MARK: Coming and going

    private mutating func halfClose(_ index: Int) {
        self.clients[index].hasHalfClosed = true
        self.core.inputEnded(self.clients[index].token, &self.effects)
    }

    private mutating func leave(_ index: Int) {
        let token = self.clients[index].token
        self.clients[index].isGone = true
        self.note(.clientLeft(index))
        for batch in self.core.batches.tokens where self.core.batches[batch].connection == token {
            let answers = [0x5B] + self.core.batches[batch].answers + [0x5D]
            self.ledger.answers += (try? JSONValue(parsing: answers))?.arrayValue?.count ?? 0
        }
        self.forget(token)
        self.core.disconnected(token, &self.effects)
    }

    private mutating func forget(_ token: ConnectionToken) {
        self.effects.stalledClients[token] = nil
        self.clientIndices[token] = nil
    }

    /// The supervisor closed the connection, and the output is sent.
    mutating func close(_ token: ConnectionToken) {
        guard let index = self.clientIndices[token] else { return }
        self.clients[index].isGone = true
        self.forget(token)
        guard self.core.connections.contains(token) else { return }
        self.core.disconnected(token, &self.effects)
    }

    private mutating func stall(_ token: ConnectionToken) {
        guard self.effects.stalledClients[token] == nil else { return }
        self.ledger.hasStalled = true
        let factor = 1 << Int.random(in: 0...15, using: &self.random)
        self.effects.stalledClients[token] = .init(factor: factor, began: self.effects.written)
        guard self.weather.profile != .slowClients || self.happens(0.8) else { return }
        self.schedule(.clientReads(token), after: VirtualWorker.delay(1...3000, &self.random))
    }

    /// It takes some of what waits for it, or all.
    mutating func readAgain(_ token: ConnectionToken) {
        guard var stall = self.effects.stalledClients[token] else { return }
        if let index = self.clientIndices[token] {
            for nonce in self.clients[index].open.values { self.ledger.calls[nonce]?.stream.waiting = (0, 0) }
        }
        if stall.waiting > 0, self.happens(0.3) {
            stall.waiting -= stall.waiting / 2
            self.effects.stalledClients[token] = stall
            self.core.outputWaits(for: token)
            self.note(.tookSome(token))
            return self.schedule(.clientReads(token), after: VirtualWorker.delay(1...3000, &self.random))
        }
        self.effects.stalledClients[token] = nil
        if stall.waiting > 0 { self.core.outputIsSent(to: token) }
        self.note(.readsAgain(token))
        guard let index = self.clientIndices[token], stall.isClosing else { return }
        self.close(self.clients[index].token)
    }
}

// MARK: - What clients get

extension VirtualWorld {
    mutating func receive(_ bytes: [UInt8], _ token: ConnectionToken) {
        guard let index = self.clientIndices[token], !self.clients[index].isGone else { return }
        if let stall = self.effects.stalledClients[token], stall.waiting > 0, !stall.isNoted {
            self.effects.stalledClients[token]?.isNoted = true
            self.schedule(.outputWaits(token), after: 0)
        }
        guard let message = try? JSONValue(parsing: bytes) else {
            return self.violate(Violation(.contract, "an answer that is no JSON"))
        }
        if message["method"] == "stream_chunk", let params = message["params"] {
            return self.takeChunk(params, bytes.count, index)
        }
        guard case .array(let elements) = message else { return self.take(message, index) }
        if elements.contains(where: { $0["method"] != nil }) {
            return self.violate(Violation(.wholeStreams, "a chunk inside a batch's answer"))
        }
        if elements.isEmpty { self.violate(Violation(.contract, "an empty array")) }
        for element in elements { self.take(element, index) }
    }

    private mutating func takeChunk(_ params: JSONValue, _ bytes: Int, _ index: Int) {
        let chunk = ReceivedChunk(params, client: index)
        let nonce = self.clients[index].streams[chunk.name]
        self.note(.gotChunk(chunk, nonce))
        guard let nonce, chunk.reason == nil,
            let stall = self.effects.stalledClients[self.clients[index].token]
        else { return }
        self.ledger.calls[nonce]?.stream.waiting.chunks += 1
        self.ledger.calls[nonce]?.stream.waiting.bytes += bytes * stall.factor
    }

    private mutating func take(_ message: JSONValue, _ index: Int) {
        let answer = Answer(message, client: index)
        if let (code, id) = self.clients[index].awaitedRefusal, answer.code == code, answer.id == id {
            self.clients[index].awaitedRefusal = nil
            // It was a call, but for its metadata or params.
            if code == -32602 { self.ledger.answers += 1 }
            return
        }
        guard let nonce = self.clients[index].open.removeValue(forKey: answer.id) else {
            return self.note(.answered(answer, nil))
        }
        self.ledger.answers += 1
        self.ledger.calls[nonce]?.isAnswered = true
        if answer.result != nil { self.ledger.results += 1 }
        if answer.code == 2001 { self.ledger.failed(nonce) }
        self.note(.answered(answer, nonce))
    }
}
