import Protocol

@testable import Supervisor

/// What workers do.
extension VirtualWorld {
    mutating func deliverFromWorker(_ event: Event) {
        switch event {
        case .workerSpawned(let token):
            guard self.workers[token] != nil else { return }
            self.core.workerSpawned(token, pid: Int32(token.index) + 100, &self.effects)
        case .spawnFails(let token, let reason):
            guard let process = self.ledger.processes.removeValue(forKey: token) else { return }
            self.note(.spawnFailed(token, process))
            self.core.spawnFailed(token, reason: reason, &self.effects)
        case .workerWrites(let token, let output): self.write(output, token)
        case .workerClosesOutput(let token, let dies): self.closeOutput(token, dies: dies)
        case .workerClosesInput(let token): self.workers[token]?.hasClosedInput = true
        case .workerReads(let token): self.readAgain(token)
        case .inputFails(let token):
            guard self.workers[token] != nil else { return }
            self.cutOff(token)
            self.core.inputFailed(token)
        case .workerExits(let token, let status): self.exit(token, status)
        default: preconditionFailure("\(event) is no worker's")
        }
    }

    private mutating func exit(_ token: WorkerToken, _ status: Supervisor.ExitStatus) {
        guard self.workers.removeValue(forKey: token) != nil,
            let process = self.ledger.processes[token]
        else { return }
        let lost = self.ledger.lost(token, isDeath: true)
        self.ledger.processes[token] = nil
        self.effects.deafWorkers[token] = nil
        self.effects.memory[token] = nil
        self.note(.exited(token, process, lost))
        self.core.workerExited(token, status, &self.effects)
    }

    private mutating func closeOutput(_ token: WorkerToken, dies: Bool) {
        guard self.workers[token]?.hasClosedOutput == false else { return }
        self.workers[token]?.hasClosedOutput = true
        self.cutOff(token)
        self.core.outputClosed(token)
        if dies { self.schedule(.workerExits(token, .exited(code: 1)), after: .milliseconds(1)) }
    }

    /// One of its pipes ended: unless it dies soon, its calls are settled without it.
    private mutating func cutOff(_ token: WorkerToken) {
        guard self.ledger.processes[token]?.role == .serving, self.ledger.processes[token]?.cutOffAt == nil
        else { return }
        self.ledger.processes[token]?.cutOffAt = self.now
    }

    private mutating func write(_ output: WorkerOutput, _ token: WorkerToken) {
        guard self.workers[token]?.hasClosedOutput == false else { return }
        // What it meant to steal has come to it meanwhile: it would lie about its own call, which anybody may.
        if output.isForged, case .reply(let number, _) = output.meaning,
            self.ledger.processes[token]?.open[number] != nil
        {
            return
        }
        self.settleCutOff()
        switch output.meaning {
        case .reply(let number, let reply): self.ledger.replied(number, reply, by: token)
        case .health(let number, let declares):
            let isWell = declares != nil || output.line.firstRange(of: Array("-32601".utf8)) != nil
            self.ledger.healthAnswered(number, declares, isWell: isWell, by: token)
        case .foreignReply: self.ledger.lateReplies += 1
        case .chunk(let number, let isFinal): self.ledger.streamed(number, isFinal: isFinal, by: token)
        case .badChunk: break
        case .noise: self.ledger.noise(output.line.count, from: token)
        case .capabilities(let declares): self.ledger.declared(declares, by: token)
        case .question(let id): self.ledger.processes[token]?.questions.insert(id)
        }
        self.note(.workerWrote(output, token))
        output.line.withUnsafeBytes { bytes in
            if output.isOversize {
                self.core.workerWroteOversize(prefix: bytes, token, &self.effects)
            } else {
                self.core.workerWrote(bytes, token, &self.effects)
            }
        }
    }

    /// Workers whose pipe ended some time ago, and that live on, have lost their calls.
    mutating func settleCutOff() {
        let cutOff = self.ledger.processes.filter {
            guard let cutOffAt = $0.value.cutOffAt, !$0.value.open.isEmpty else { return false }
            return self.now >= cutOffAt.advanced(by: Ledger.exitMargin)
        }
        // A dictionary's order is not the seed's.
        for token in cutOff.keys.sorted(by: { $0.word < $1.word }) {
            let lost = self.ledger.lost(token, isDeath: false)
            self.note(.cutOff(token, lost))
        }
    }

    private mutating func readAgain(_ token: WorkerToken) {
        guard let unread = self.workers[token]?.unread else { return }
        self.workers[token]?.unread = []
        self.workers[token]?.isReading = true
        self.effects.deafWorkers[token] = nil
        for message in unread { self.react(to: message, token) }
    }
}

// MARK: - Effects

extension VirtualWorld {
    mutating func settle() {
        self.settleCutOff()
        for effect in self.effects.take() {
            switch effect {
            case .toClient(let token, let bytes): self.receive(bytes, token)
            case .toWorker(let token, let bytes, let backlog): self.workerReceives(bytes, backlog, token)
            case .spawn(let request): self.spawn(request)
            case .closeInput(let token):
                guard let worker = self.workers[token] else { continue }
                if self.ledger.processes[token]?.inputClosedAt == nil {
                    self.ledger.processes[token]?.inputClosedAt = self.now
                }
                self.note(.inputClosed(token))
                if worker.isReading, !worker.temper.ignoresEnd { self.exitSoon(token, .exited(code: 0)) }
            case .signal(let token, let signal): self.take(signal, token)
            case .close(let token, let whenFlushed): self.supervisorCloses(token, whenFlushed)
            case .finish: self.finish()
            }
        }
    }

    private mutating func take(_ signal: WorkerSignal, _ token: WorkerToken) {
        guard let worker = self.workers[token], var process = self.ledger.processes[token] else { return }
        switch signal {
        case .terminate: process.terminatedAt = process.terminatedAt ?? self.now
        case .kill: process.killedAt = process.killedAt ?? self.now
        }
        self.ledger.processes[token] = process
        self.note(.signaled(token, signal))
        guard signal == .kill || !worker.temper.ignoresTerm else { return }
        self.exitSoon(token, .signaled(signal == .kill ? 9 : 15))
    }

    private mutating func supervisorCloses(_ token: ConnectionToken, _ whenFlushed: Bool) {
        guard let index = self.clientIndices[token], !self.clients[index].isGone else { return }
        self.note(.closed(token, whenFlushed: whenFlushed))
        if !whenFlushed {
            self.clients[index].isGone = true
            self.note(.clientLeft(index))
            self.effects.stalledClients[token] = nil
            self.clientIndices[token] = nil
        } else if let stall = self.effects.stalledClients[token], stall.waiting > 0 {
            self.effects.stalledClients[token]?.isClosing = true
        } else {
            self.schedule(.clientIsClosed(token), after: 0)
        }
    }

    private mutating func spawn(_ request: SpawnRequest) {
        let token = request.worker
        let slot = self.core.workers.contains(token) ? self.core.workers[token].slot : 0
        self.ledger.processes[token] = Ledger.Process(
            pool: request.pool, slot: slot, role: request.role, startedAt: self.now,
            concurrency: min(1, self.ledger.configuration.pools[request.pool].maxConcurrency ?? 1))
        self.noteExchange(token, request)
        self.note(.spawned(token))
        let isLooping = request.pool == 0 && slot == self.weather.loopingSlot
        var temper = WorkerTemper(self.weather, isLooping: isLooping, &self.random)
        if request.configuration.command == ["dies"] { temper.start = .dies }
        if request.configuration.command == ["never"] { temper.start = .neverReady }
        if request.role == .serving || self.weather.loopingSlot == nil, temper.start == .cannotBeStarted {
            let reasons = ["no such file", "resource temporarily unavailable", "too many open files"]
            let reason = reasons.randomElement(using: &self.random) ?? ""
            return self.schedule(.spawnFails(token, "virtual: \(reason)"), after: 0)
        }
        self.workers[token] = VirtualWorker(token, temper)
        self.schedule(.workerSpawned(token), after: 0)
        if request.role == .preparing {
            let isGood = !self.happens(self.weather.loopingSlot == nil ? self.weather.badStart : 0)
            self.schedule(
                .workerExits(token, .exited(code: isGood ? 0 : 1)),
                after: VirtualWorker.delay(1...500, &self.random))
        }
    }

    private mutating func noteExchange(_ token: WorkerToken, _ request: SpawnRequest) {
        self.ledger.processes[token]?.isDoomed = request.configuration.command != ["worker"]
        guard let exchange = self.core.pools[request.pool].exchange,
            case .starting(token, let old) = exchange.stage
        else { return }
        self.ledger.processes[token]?.isNewcomer = true
        self.ledger.processes[token]?.isOfRollout = exchange.reason == .restarted
        self.ledger.processes[token]?.isAlone = old == nil
    }

    private mutating func exitSoon(_ token: WorkerToken, _ status: Supervisor.ExitStatus) {
        guard self.workers[token] != nil else { return }
        self.schedule(.workerExits(token, status), after: VirtualWorker.delay(0...5, &self.random))
    }
}

// MARK: - What workers get

extension VirtualWorld {
    private mutating func workerReceives(_ bytes: [UInt8], _ backlog: Int, _ token: WorkerToken) {
        guard let worker = self.workers[token] else { return }
        if worker.hasClosedInput { self.schedule(.inputFails(token), after: 0) }
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast() {
            guard let message = try? JSONValue(parsing: Array(line)) else {
                let text = String(decoding: line, as: UTF8.self)
                return self.violate(Violation(.garbageKillsNothing, "a worker got what is no JSON: \(text)"))
            }
            self.look(at: message, backlog, token)
            if worker.hasClosedInput { continue }
            if self.workers[token]?.isReading == true {
                self.react(to: message, token)
            } else {
                self.workers[token]?.unread.append(message)
            }
        }
    }

    /// Keeps the books of what was sent to a worker, when it is sent.
    private mutating func look(at message: JSONValue, _ backlog: Int, _ token: WorkerToken) {
        let number = message["id"]?.integerValue.map { UInt64(truncatingIfNeeded: $0) }
        guard message["method"] != nil else {
            if let id = message["id"]?.integerValue { self.ledger.processes[token]?.questions.remove(id) }
            return
        }
        if message["method"] == "$/cancelRequest" { return self.noteCancel(message, token) }
        guard message["metadata"] != nil else {
            let isFirst = self.ledger.processes[token]?.readyAt == nil
            if let number { self.ledger.processes[token]?.checks[number] = (self.now, isFirst) }
            return
        }
        if let broken = self.judges.garbage.judge(message, self.ledger) {
            return self.violate(Violation(.garbageKillsNothing, broken))
        }
        let nonce = message["params"]?["nonce"]?.integerValue ?? -1
        guard let number else {
            self.note(.told(nonce, backlog: backlog))
            self.ledger.calls[nonce]?.attempts += 1
            return
        }
        let left = message["metadata"]?["deadline_ms"]?.integerValue
        self.note(.sent(nonce, to: token, deadlineMilliseconds: left, backlog: backlog))
        self.ledger.sent(number, nonce, to: token)
    }

    private mutating func noteCancel(_ message: JSONValue, _ token: WorkerToken) {
        let number = UInt64(truncatingIfNeeded: message["params"]?["id"]?.integerValue ?? -1)
        let open = self.ledger.processes[token]?.open[number]
        self.note(.cancelSent(open, to: token))
        self.ledger.cancelled(number, at: token)
    }

    private mutating func react(to message: JSONValue, _ token: WorkerToken) {
        guard var worker = self.workers[token] else { return }
        var other: UInt64?
        if self.weather.badCalls.contains(.replyToAnothersCall) { other = self.callOfAnother(than: token) }
        let (outputs, act) = worker.receive(message, self.weather, other: other, &self.random)
        self.workers[token] = worker
        for output in outputs { self.schedule(.workerWrites(token, output), after: output.after) }
        switch act {
        case .none: break
        case .crash(let after): self.schedule(.workerExits(token, .signaled(11)), after: after)
        case .closeOutput(let after, let dies):
            self.schedule(.workerClosesOutput(token, dies: dies), after: after)
        case .closeInput(let after): self.schedule(.workerClosesInput(token), after: after)
        case .stopReading(let duration):
            self.workers[token]?.isReading = false
            self.effects.deafWorkers[token] = .init(factor: 1 << Int.random(in: 0...15, using: &self.random))
            self.schedule(.workerReads(token), after: duration)
        case .grow: self.grow(token)
        }
    }

    private mutating func grow(_ token: WorkerToken) {
        self.effects.memory[token, default: 9] += 100
        guard let process = self.ledger.processes[token], process.overMemorySince == nil,
            let limit = self.ledger.configuration.pools[process.pool].maxMemory,
            (self.effects.memory[token] ?? 0) << 20 > limit
        else { return }
        self.ledger.processes[token]?.overMemorySince = self.now
    }

    private func callOfAnother(than token: WorkerToken) -> UInt64? {
        let others = self.ledger.processes.filter { $0.key != token && !$0.value.open.isEmpty }
        let other = others.min { $0.key.word < $1.key.word }
        return other?.value.open.keys.min()
    }
}
