import Protocol

@testable import Supervisor

/// What may happen in the world.
extension CacheWorld {
    // MARK: Clients

    mutating func ask() {
        let client = Int.random(in: 0..<self.clients.count, using: &self.random)
        let use =
            ["use", "use", "use", "use", "use", "use", "use", "refresh", "bypass"]
            .randomElement(using: &self.random) ?? "use"
        let isPrivate = Int.random(in: 0..<5, using: &self.random) == 0
        let priority = ["low", "normal", "high"].randomElement(using: &self.random) ?? "low"
        self.ask(
            client, key: Int.random(in: 0..<4, using: &self.random), use, isPrivate: isPrivate,
            priority, within: Int64.random(in: 20...3000, using: &self.random))
    }

    mutating func ask(
        _ client: Int, key: Int, _ use: String, isPrivate: Bool, _ priority: String, within timeout: Int64
    ) {
        self.moment += 1
        var ask = Ask(
            id: self.asks.count, client: client, key: key, use: use,
            privateTo: isPrivate ? (client == 3 ? 2 : 1) : nil, arrivedAt: self.moment,
            barrier: self.barrier, epoch: self.present,
            deadline: self.core.now.advanced(by: .milliseconds(timeout)),
            mustJoin: false)
        ask.mustJoin = use == "use" && self.hasOpenCall(for: ask)
        if use == "refresh" { self.refreshed[self.question(ask)] = self.moment }
        self.asks[ask.id] = ask
        self.open.insert(ask.id)
        let scope = isPrivate ? "private" : "shared"
        self.receive(
            client,
            #"{"jsonrpc":"2.0","id":\#(ask.id),"method":"m","params":{"key":\#(key)},"metadata":{"request_id":"#
                + #""\#(ask.id)","cache":"\#(use)","cache_scope":"\#(scope)","priority":"\#(priority)","#
                + #""timeout_ms":\#(timeout)}}"#)
    }

    func question(_ ask: Ask) -> Int { ask.key * 4 + Int(ask.privateTo ?? 0) }

    /// Whether a worker has an equal call that counts: begun since the last barrier and the last refresh, sent once,
    /// and its worker of the pool's epoch ever since.
    func hasOpenCall(for ask: Ask) -> Bool {
        self.workers.contains { worker in
            worker.calls.contains { work in
                guard !work.isCancelled, let id = work.leader, let leader = self.asks[id] else {
                    return false
                }
                return leader.use != "bypass" && leader.isSameQuestion(as: ask) && self.sendings[id] == 1
                    && leader.arrivedAt > self.barrier
                    && leader.arrivedAt >= self.refreshed[self.question(ask)] ?? 0
                    && work.epoch == worker.epoch && worker.epoch == self.present
            }
        }
    }

    mutating func receive(_ client: Int, _ line: String) {
        let token = self.clients[client]
        self.note("client \(client): \(line)")
        Array(line.utf8).withUnsafeBytes { self.core.received($0, from: token, &self.effects) }
    }

    mutating func cancel() {
        guard let id = self.open.sorted().randomElement(using: &self.random), let ask = self.asks[id] else {
            return
        }
        self.asks[id]?.isCancelled = true
        self.receive(
            ask.client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(id)}}"#)
    }

    mutating func reconnect() {
        let client = Int.random(in: 0..<self.clients.count, using: &self.random)
        self.core.disconnected(self.clients[client], &self.effects)
        self.open = self.open.filter { self.asks[$0]?.client != client }
        if let token = self.core.connectionOpened(Peer(pid: 1, uid: client == 3 ? 2 : 1)) {
            self.clients[client] = token
        }
    }

    mutating func clear() {
        self.moment += 1
        self.barrier = self.moment
        self.receive(0, #"{"jsonrpc":"2.0","id":"clear","method":"cache.clear"}"#)
    }

    // MARK: Workers

    mutating func write(_ worker: WorkerToken, _ line: String) {
        self.note("worker \(worker.index).\(worker.generation): \(line)")
        Array(line.utf8).withUnsafeBytes { self.core.workerWrote($0, worker, &self.effects) }
    }

    /// What workers say without being told to, at once.
    mutating func deliver() {
        let due = self.due
        self.due = []
        for (token, number, isHealth) in due {
            guard let worker = self.workers.first(where: { $0.token == token }) else { continue }
            let answer =
                isHealth
                ? #""result":{"status":"healthy","capabilities":{"max_concurrency":3,"cancel":true,"#
                    + #""cache_epoch":"\#(worker.epoch)"}}"#
                : #""error":{"code":-32800,"message":"cancelled"}"#
            self.write(token, #"{"jsonrpc":"2.0","id":\#(number),\#(answer)}"#)
        }
        self.endTick()
    }

    mutating func bringUp(_ index: Int, _ epoch: String) {
        let token = self.workers[index].token
        self.core.workerSpawned(token, pid: Int32(token.index) + 100, &self.effects)
        self.workers[index].epoch = epoch
        self.endTick()
        self.deliver()
        self.workers[index].isReady = true
        self.noteEpochs(declared: epoch)
    }

    mutating func bringUpAny() {
        guard let index = self.workers.indices.first(where: { !self.workers[$0].isReady }) else { return }
        self.bringUp(index, self.epochs.randomElement(using: &self.random) ?? "e0")
    }

    mutating func declare() {
        guard let index = self.workers.indices.randomElement(using: &self.random), self.workers[index].isReady
        else { return }
        let isNew = Int.random(in: 0..<3, using: &self.random) == 0
        let epoch =
            isNew ? "e\(self.moment)" : self.epochs.suffix(2).randomElement(using: &self.random) ?? "e0"
        if self.workers[index].epoch != epoch {
            for call in self.workers[index].calls.indices { self.workers[index].calls[call].epoch = "" }
        }
        self.workers[index].epoch = epoch
        self.write(
            self.workers[index].token,
            #"{"jsonrpc":"2.0","method":"worker.capabilities","params":{"cache_epoch":"\#(epoch)"}}"#)
        self.noteEpochs(declared: epoch)
    }

    /// Protocol §5, once more.
    mutating func noteEpochs(declared epoch: String? = nil) {
        let ready = self.workers.filter(\.isReady).map(\.epoch)
        var next = self.present
        if let epoch, !self.epochs.contains(epoch) { next = epoch }
        if next == self.present, !ready.isEmpty, !ready.contains(next) {
            next = self.epochs.last { ready.contains($0) } ?? next
        }
        guard next != self.present else { return }
        self.epochs.removeAll { $0 == next }
        self.epochs.append(next)
        self.moment += 1
        self.barrier = self.moment
    }

    mutating func kill() {
        guard let index = self.workers.indices.randomElement(using: &self.random) else { return }
        self.kill(index)
    }

    mutating func kill(_ index: Int) {
        guard self.workers[index].isReady else { return }
        let worker = self.workers.remove(at: index)
        self.note("worker \(worker.token.index).\(worker.token.generation) dies")
        for work in worker.calls where !work.isCancelled {
            if let leader = work.leader { self.deaths[leader, default: 0] += 1 }
        }
        self.core.workerExited(worker.token, .signaled(9), &self.effects)
        // What is given for an error in that moment was right before the pool lost its epoch with the worker.
        self.settle()
        self.noteEpochs()
    }

    mutating func reply() {
        let busy = self.workers.indices.filter { index in
            self.workers[index].calls.contains { !$0.isCancelled }
        }
        guard let index = busy.randomElement(using: &self.random),
            let at = self.workers[index].calls.indices.filter({ !self.workers[index].calls[$0].isCancelled })
                .randomElement(using: &self.random)
        else { return }
        let work = self.workers[index].calls.remove(at: at)
        let token = self.workers[index].token
        switch Int.random(in: 0..<10, using: &self.random) {
        case 0, 1:
            if let leader = work.leader, work.told <= self.core.now {
                self.timesGivenUp[leader, default: 0] += 1
            }
            let code = Bool.random(using: &self.random) ? -32603 : -32602
            self.write(
                token, #"{"jsonrpc":"2.0","id":\#(work.number),"error":{"code":\#(code),"message":"no"}}"#)
        default:
            self.origins[work.stamp]?.repliedAt = self.core.now
            self.write(token, #"{"jsonrpc":"2.0","id":\#(work.number),"result":\#(work.stamp)}"#)
        }
    }
}
