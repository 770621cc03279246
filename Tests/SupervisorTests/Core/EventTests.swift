import Protocol
import Testing

@testable import Supervisor

@Suite struct EventTests {
    private func subscribe(
        _ scenario: Scenario, _ client: ConnectionToken, _ topics: JSONValue
    ) throws -> JSONValue {
        scenario.call(client, 1, "events.subscribe", params: ["topics": topics])
        return try scenario.answer(client)
    }

    /// What the client was told since the last time this was asked.
    private func events(_ scenario: Scenario, _ client: ConnectionToken) -> [JSONValue] {
        scenario.take(client).filter { $0["method"] == "event" }.compactMap { $0["params"] }
    }

    private func topics(_ scenario: Scenario, _ client: ConnectionToken) -> [String] {
        self.events(scenario, client).compactMap { $0["topic"]?.stringValue }
    }

    // MARK: Subscriptions

    @Test func answersWithThePatternsInForce() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        let first = try self.subscribe(scenario, client, ["worker.*", "pool.scaled"])
        #expect(first["result"] == ["topics": ["worker.*", "pool.scaled"]])
        let second = try self.subscribe(scenario, client, ["cache.cleared", "worker.*"])
        #expect(second["result"] == ["topics": ["worker.*", "pool.scaled", "cache.cleared"]])
        scenario.call(client, 2, "events.unsubscribe", params: ["topics": ["worker.*", "log"]])
        #expect(try scenario.answer(client)["result"] == ["topics": ["pool.scaled", "cache.cleared"]])
        scenario.call(client, 3, "events.unsubscribe")
        #expect(try scenario.answer(client)["result"] == ["topics": []])
        scenario.exit(scenario.workers[0])
        #expect(self.topics(scenario, client) == [])
        #expect(!scenario.effects.feed.isWatched)
    }

    @Test(arguments: [
        ("worker.raedy", "topics[1]", "did you mean worker.ready?"), ("Worker.*", "topics[1]", "no topic"),
        ("", "topics[1]", "no topic"), (String(repeating: "*", count: 129), "topics[1]", "no topic"),
    ])
    func refusesAPatternThatMatchesNoTopic(pattern: String, path: String, words: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        let error = try #require(
            try self.subscribe(scenario, client, ["worker.*", .string(pattern)])["error"])
        #expect(error["code"] == -32602)
        #expect(error["data"]?["path"]?.stringValue == path)
        #expect(error["message"]?.stringValue?.contains(words) == true, "\(error.text)")
        scenario.exit(scenario.workers[0])
        #expect(self.topics(scenario, client) == [], "the whole subscription was refused")
    }

    @Test(arguments: [
        JSONValue.object([]), ["topics": "worker.*"], ["topics": [1]], ["topics": []], ["topic": ["log"]],
        ["topics": ["log"], "since": 1], [1, 2],
    ])
    func refusesOtherParams(params: JSONValue) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, "events.subscribe", params: params)
        #expect(try scenario.error(client) == .init(-32602, "invalid_params"))
    }

    @Test func boundsThePatternsOfOneConnection() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        let many = (1...65).map { JSONValue.string("worker.\(String(repeating: "*", count: $0))") }
        #expect(try self.subscribe(scenario, client, .array(many))["error"]?["code"] == -32602)
        #expect(try self.subscribe(scenario, client, .array(Array(many.dropLast())))["result"] != nil)
        #expect(try self.subscribe(scenario, client, ["log"])["error"]?["code"] == -32602)
    }

    @Test func aNotificationSubscribesWithoutAnAnswer() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.send(
            client, #"{"jsonrpc":"2.0","method":"events.subscribe","params":{"topics":["worker.exited"]}}"#)
        #expect(scenario.take(client).isEmpty)
        scenario.exit(scenario.workers[0])
        #expect(self.topics(scenario, client) == ["worker.exited"])
    }

    @Test func aSubscriptionEndsWithItsConnection() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["*"])
        scenario.tick { $0.disconnected(client, &$1) }
        #expect(!scenario.effects.feed.isWatched)
        scenario.exit(scenario.workers[0])
        #expect(scenario.take(client).isEmpty)
    }

    // MARK: What is told

    @Test func tellsTheLifeOfAWorker() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["worker.*"])
        scenario.exit(scenario.workers[0])
        let exited = try #require(self.events(scenario, client).first)
        #expect(exited["topic"] == "worker.exited")
        #expect(exited["timestamp"] == "2023-11-14T22:13:20.000Z")
        #expect(exited["data"]?["how"] == "was killed by SIGKILL")
        #expect(exited["data"]?["worker_id"] == .string(scenario.effects.spawns[0].workerID))
        scenario.pass(.milliseconds(200))
        scenario.makeReady()
        #expect(self.topics(scenario, client) == ["worker.started", "worker.ready"])
    }

    @Test func tellsWhenAPoolIsNotHealthyAndWhenItIsAgain() throws {
        let scenario = Scenario.ready(workers: 2)
        let client = try scenario.connect(uid: 5)
        _ = try self.subscribe(scenario, client, ["pool.*"])
        scenario.exit(scenario.workers[0])
        let degraded = try #require(self.events(scenario, client).first)
        #expect(degraded["topic"] == "pool.degraded")
        #expect(
            degraded["data"] == ["pool": "default", "status": "degraded", "ready": 1, "min_workers": 2])
        scenario.exit(scenario.workers[1])
        #expect(self.events(scenario, client).first?["data"]?["status"] == "unavailable")
        scenario.pass(.milliseconds(200))
        scenario.makeReady()
        #expect(self.topics(scenario, client) == ["pool.degraded", "pool.recovered"])
    }

    @Test func doesNotCallAPoolDegradedThatComesUp() {
        let scenario = Scenario.ready(workers: 3)
        #expect(!scenario.effects.events.contains("pool.degraded"))
        #expect(!scenario.effects.events.contains("pool.recovered"))
    }

    @Test func tellsWhenAPoolNeverCameUp() throws {
        let scenario = Scenario { ($0.pools[0].minWorkers, $0.pools[0].maxWorkers) = (1, 1) }
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["pool.degraded", "worker.quarantined"])
        for _ in 0..<5 {
            let worker = try #require(scenario.takeSpawns().first).worker
            scenario.tick { $0.workerSpawned(worker, pid: 9, &$1) }
            scenario.exit(worker, .exited(code: 1))
            scenario.pass(.seconds(2))
        }
        #expect(self.topics(scenario, client).prefix(2) == ["worker.quarantined", "pool.degraded"])
    }

    @Test func tellsOfScalingRecyclingAndClearing() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["pool.scaled", "worker.recycled", "cache.cleared"])
        scenario.call(client, 2, "supervisor.scale", params: ["workers": 2])
        scenario.makeReady()
        scenario.call(client, 3, "supervisor.restart", params: ["worker": 0])
        scenario.makeReady()
        scenario.call(client, 4, "cache.clear")
        #expect(self.topics(scenario, client) == ["pool.scaled", "worker.recycled", "cache.cleared"])
    }

    @Test func anEventThatTwoPatternsMatchIsToldOnce() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["worker.*", "*.exited", "worker.exited"])
        scenario.exit(scenario.workers[0])
        #expect(self.topics(scenario, client) == ["worker.exited"])
    }

    @Test func theLogHasEveryRecordWithItsLevel() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["log"])
        scenario.exit(scenario.workers[0])
        let lines = self.events(scenario, client)
        #expect(lines.allSatisfy { $0["topic"] == "log" })
        #expect(lines.first?["data"]?["event"] == "worker.exited")
        #expect(lines.first?["data"]?["level"] == "warning")
    }

    @Test func everyTopicOfTheContractIsAnEventOfTheLogOrToldApart() {
        for topic in EventTopic.allCases where topic != .log && topic != .eventsDropped {
            #expect(topic.rawValue.contains("."))
        }
        #expect(EventTopic(logEvent: "worker.replaced") == .workerRecycled)
        #expect(EventTopic(logEvent: "worker.stderr") == nil)
        #expect(EventTopic.matching("*.*").count == EventTopic.allCases.count - 1)
        #expect(EventTopic.matching("log") == [.log])
    }

    // MARK: Who may see what

    @Test(arguments: ["log", "config.*", "config.changed", "config.rejected"])
    func topicsForOperatorsAreRefusedToOthers(pattern: String) throws {
        let scenario = Scenario.ready()
        let stranger = try scenario.connect(uid: 5)
        let error = try self.subscribe(scenario, stranger, [.string(pattern)])["error"]
        #expect(error?["code"] == -32001)
        #expect(error?["data"]?["reason"] == "operators_only")
        #expect(scenario.effects.events.last == "operator.refused")
        #expect(!scenario.effects.feed.isWatched)
        let known = try scenario.connect(uid: 1000)
        #expect(try self.subscribe(scenario, known, [.string(pattern)])["result"] != nil)
    }

    @Test func othersSeeNeitherTheLogNorWhatWorkersWrote() throws {
        let scenario = Scenario { ($0.pools[0].minWorkers, $0.pools[0].maxWorkers) = (1, 1) }
        let stranger = try scenario.connect(uid: 5)
        let known = try scenario.connect(uid: 0)
        _ = try self.subscribe(scenario, stranger, ["*"])
        _ = try self.subscribe(scenario, known, ["worker.quarantined"])
        for _ in 0..<5 {
            let worker = try #require(scenario.takeSpawns().first).worker
            scenario.tick { $0.workerSpawned(worker, pid: 9, &$1) }
            scenario.exit(worker, .exited(code: 1))
            scenario.pass(.seconds(2))
        }
        let told = self.events(scenario, stranger)
        #expect(!told.contains { $0["topic"] == "log" })
        let quarantined = try #require(told.first { $0["topic"] == "worker.quarantined" })
        #expect(quarantined["data"]?["failed_starts"] == 5)
        #expect(quarantined["data"]?["stderr_tail"] == nil && quarantined["data"]?["how"] == nil)
        #expect(!told.map(\.text).joined().contains("last words"))
        let all = try #require(self.events(scenario, known).first)
        #expect(all["data"]?["stderr_tail"] == "first\nlast words")
    }

    // MARK: Slow subscribers

    @Test func aSlowSubscriberLosesEventsAndIsToldHowMany() throws {
        let scenario = Scenario.ready(workers: 1)
        let slow = try scenario.connect()
        let quick = try scenario.connect()
        for client in [slow, quick] { _ = try self.subscribe(scenario, client, ["cache.*"]) }
        scenario.effects.outputBacklogs[slow] = EventSubscriber.backlogLimit + 1
        for id in 1...7 { scenario.call(quick, id, "cache.clear", params: ["cache_type": "response"]) }
        #expect(self.topics(scenario, slow) == [])
        #expect(self.topics(scenario, quick).count == 7, "nobody else is slowed")
        #expect(!scenario.effects.aborted.contains(slow))
        #expect(!scenario.effects.paused.contains(slow), "its calls are still read")

        scenario.effects.outputBacklogs[slow] = EventSubscriber.backlogToResume + 1
        scenario.call(quick, 8, "cache.clear", params: ["cache_type": "response"])
        #expect(self.topics(scenario, slow) == [], "a little room is not enough to begin again")

        scenario.effects.outputBacklogs[slow] = EventSubscriber.backlogToResume
        scenario.tick { _, _ in }
        let told = self.events(scenario, slow)
        #expect(told.map { $0["topic"] } == ["events.dropped"], "it is told without another event")
        #expect(told.first?["data"] == ["count": 8])
        scenario.call(quick, 9, "cache.clear", params: ["cache_type": "response"])
        #expect(self.topics(scenario, slow) == ["cache.cleared"])
    }

    @Test func aFloodOfOneTickIsBoundedAndCounted() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["log"])
        scenario.tick { _, effects in
            for _ in 0..<EventFeed.capacity + 5 { effects.log(.info, "worker.stderr", ["line": "x"]) }
        }
        let told = self.events(scenario, client)
        #expect(told.count == EventFeed.capacity + 1)
        #expect(told.last?["data"] == ["count": 5])
    }

    @Test func oneThatIsAboutToBeClosedIsToldNothing() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["*"])
        scenario.tick { $0.inputEnded(client, &$1) }
        scenario.exit(scenario.workers[0])
        #expect(scenario.take(client).isEmpty)
    }

    @Test func nobodyPaysForEventsThatNobodyWants() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        _ = try self.subscribe(scenario, client, ["config.changed"])
        scenario.tick { _, effects in
            effects.log(.info, "worker.stderr", ["line": "x"])
            let (items, lost) = effects.feed.drain()
            #expect(items.isEmpty && lost.isEmpty)
        }
    }
}
