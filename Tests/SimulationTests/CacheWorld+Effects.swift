import Protocol

@testable import Supervisor

/// What the core does, and whether it may.
extension CacheWorld {
    mutating func settle() {
        while !self.effects.isEmpty {
            let effects = self.effects
            self.effects = Inbox()
            for spawn in effects.spawns { self.workers.append(Worker(token: spawn.worker, epoch: "")) }
            for (worker, line) in effects.toWorkers { self.hear(worker, line) }
            for line in effects.toClients { self.take(line) }
        }
    }

    /// A worker reads a line.
    mutating func hear(_ worker: WorkerToken, _ line: [UInt8]) {
        self.note("→ worker \(worker.index).\(worker.generation): \(String(decoding: line, as: UTF8.self))")
        guard let message = try? JSONValue(parsing: line),
            let index = self.workers.firstIndex(where: { $0.token == worker })
        else { return }
        if message["method"] == "$/cancelRequest" {
            guard let number = message["params"]?["id"]?.integerValue,
                let at = self.workers[index].calls.firstIndex(where: { $0.number == number })
            else { return }
            self.workers[index].calls[at].isCancelled = true
            self.workers[index].calls.remove(at: at)
            return self.due.append((worker, number, isHealth: false))
        }
        guard let number = message["id"]?.integerValue else { return }
        guard message["method"] != "health.check" else {
            return self.due.append((worker, number, isHealth: true))
        }
        // A worker that has no cache of its own says so.
        guard message["method"] != "cache.clear" else {
            return self.due.append((worker, number, isHealth: false))
        }
        self.begin(number, message, index)
    }

    mutating func begin(_ number: Int64, _ message: JSONValue, _ index: Int) {
        self.moment += 1
        let key = Int(message["params"]?["key"]?.integerValue ?? -1)
        let leader = message["metadata"]?["request_id"]?.stringValue.flatMap { Int($0) }
        let epoch = self.workers[index].epoch
        let stamp = self.origins.count
        self.origins[stamp] = Origin(
            key: key, leader: leader, receivedAt: self.moment, epoch: epoch, repliedAt: self.core.now)
        let left = message["metadata"]?["deadline_ms"]?.integerValue ?? 1
        self.workers[index].calls.append(
            Work(
                number: number, leader: leader, stamp: stamp, epoch: epoch,
                told: self.core.now.advanced(by: .milliseconds(left - 1))))
        guard let leader, let ask = self.asks[leader] else { return }
        self.sendings[leader, default: 0] += 1
        if ask.mustJoin, self.sendings[leader] == 1 {
            self.fail("P14: \(leader) was sent although an equal call is at a worker")
        }
        let allowed = 1 + min(1, self.deaths[leader] ?? 0) + (self.timesGivenUp[leader] ?? 0)
        if let sent = self.sendings[leader], sent > allowed {
            self.fail("P14: \(leader) was sent \(sent) times")
        }
    }

    /// A client reads a line.
    mutating func take(_ line: [UInt8]) {
        self.note("→ client: \(String(decoding: line, as: UTF8.self))")
        guard let message = try? JSONValue(parsing: line),
            let id = message["id"]?.integerValue.map({ Int($0) }),
            let ask = self.asks[id]
        else { return }
        guard self.open.remove(id) != nil else { return self.fail("P1: a second answer to \(id)") }
        let word = message["metadata"]?["cache"]?.stringValue ?? ""
        self.words[word, default: 0] += 1
        if let stamp = message["result"]?.integerValue {
            return self.judge(ask, word, Int(stamp))
        }
        self.failures += 1
        if message["error"]?["code"] == -32800, !ask.isCancelled {
            self.fail("P1: \(id) was not cancelled, but told so")
        }
    }

    mutating func judge(_ ask: Ask, _ word: String, _ stamp: Int) {
        guard let origin = self.origins[stamp], origin.key == ask.key else {
            return self.fail("P2: \(ask.id) got the answer to another question")
        }
        if let leader = origin.leader.flatMap({ self.asks[$0] }), !leader.isSameQuestion(as: ask) {
            self.fail("P14: \(ask.id) got what is private to another user")
        }
        if origin.receivedAt <= ask.barrier {
            self.fail("P14: \(ask.id) got what is older than the last clear or epoch (\(word))")
        }
        if ask.use != "use", origin.leader != ask.id, word != "coalesced" {
            self.fail("P14: \(ask.id) wanted an answer of its own")
        }
        let age = self.core.now.duration(since: origin.repliedAt)
        switch word {
        case "hit":
            if origin.epoch != self.present { self.fail("P14: \(ask.id) got a hit of another epoch") }
            if age >= self.cache.responseCacheTTL { self.fail("P14: \(ask.id) got an expired hit") }
        case "stale":
            let window = max(self.cache.staleIfError ?? 0, self.cache.staleWhileRevalidate ?? 0)
            if age >= self.cache.responseCacheTTL + window {
                self.fail("P14: \(ask.id) got what is out of the stale window")
            }
        case "coalesced":
            if ask.arrivedAt > origin.receivedAt, origin.epoch != ask.epoch {
                self.fail("P14: \(ask.id) joined a call of a worker of another epoch")
            }
        default: break
        }
    }
}
