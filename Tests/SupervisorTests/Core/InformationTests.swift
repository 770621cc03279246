import Protocol
import Testing

@testable import Supervisor

@Suite struct InformationTests {
    private func call(
        _ scenario: Scenario, _ method: String, params: JSONValue? = nil, uid: UInt32 = 1000
    ) throws -> JSONValue {
        let client = try scenario.connect(uid: uid)
        scenario.call(client, 1, method, params: params)
        let answer = try scenario.answer(client)
        return try #require(answer["result"], "\(answer.text)")
    }

    private func member(_ value: JSONValue, _ path: String...) -> JSONValue? {
        path.reduce(JSONValue?.some(value)) { $0?[$1] }
    }

    @Test(arguments: ["system.info", "health.detailed", "rpc.discover"])
    func anEmptyArrayIsNoParams(method: String) throws {
        let scenario = Scenario.ready()
        _ = try self.call(scenario, method, params: .array([]))
        let client = try scenario.connect()
        scenario.call(client, 1, method, params: [1])
        #expect(try scenario.answer(client)["error"]?["code"] == -32602)
    }

    @Test func systemInfoSaysWhatRuns() throws {
        let scenario = Scenario.ready(
            capabilities: [
                "techniques": ["b", "a"], "methods": ["job.*", "job.run", "ping", "supervisor.x"],
            ])
        scenario.pass(.seconds(5))
        let info = try self.call(scenario, "system.info", uid: 5)
        #expect(
            info.objectValue?.map(\.name) == [
                "version", "protocol_version", "pid", "host", "cores", "memory_bytes", "uptime_seconds",
                "pools", "methods", "techniques",
            ])
        #expect(info["pid"] == 77)
        #expect(info["uptime_seconds"] == 5.0)
        #expect(info["techniques"] == ["a", "b"])
        let methods = try #require(info["methods"]?.arrayValue)
        #expect(methods.contains("rag.execute") && methods.contains("events.subscribe"))
        #expect(methods.last == "job.run", "a worker's own, without globs and reserved names")
        #expect(methods.count { $0 == "ping" } == 1)
        #expect(info["pools"]?.arrayValue?[0]["ready_workers"] == 2)
    }

    @Test(arguments: ["system.info", "health.detailed", "rpc.discover"])
    func takesNoParams(method: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.call(client, 1, method, params: ["verbose": true])
        #expect(try scenario.error(client) == .init(-32602, "invalid_params"))
        scenario.call(client, 2, method, params: [:])
        #expect(try scenario.answer(client)["result"] != nil)
        scenario.send(client, #"{"jsonrpc":"2.0","id":3,"method":"\#(method)","params":{"a":1e999}}"#)
        let message = try scenario.answer(client)["error"]?["message"]
        #expect(message == "Invalid params: number out of range at byte 5")
    }

    /// Messages quote at most 40 bytes of input, escaped (protocol §6).
    @Test(arguments: [
        "system.info", "supervisor.restart", "metrics.get", "events.unsubscribe", "embedding.create",
        "cache.clear",
    ]) func quoteLittleOfAnUnknownMember(method: String) throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        let name = "\u{1B}[31m\u{7}" + String(repeating: "k", count: 5000)
        scenario.call(client, 1, method, params: .object([.init(name, 1)]))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602)
        for text in [error["message"]?.stringValue, error["data"]?["path"]?.stringValue] {
            let text = try #require(text)
            #expect(text.contains("\\x1b[31m\\x07kkk") && text.utf8.count < 150, "\(text.prefix(200))")
        }
    }

    @Test func areAnsweredWhileEveryWorkerIsBusyAndTheQueueFull() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 1 }
        let client = try scenario.connect()
        for id in 1...3 { scenario.call(client, id) }
        _ = scenario.take(client)
        for method in ["system.info", "health.detailed", "rpc.discover", "events.unsubscribe"] {
            scenario.call(client, 4, method)
            #expect(try scenario.answer(client)["result"] != nil)
        }
    }

    // MARK: health.detailed

    private static let report: JSONValue = [
        "status": "healthy",
        "dependencies": [
            "index": ["status": "healthy", "generation": "g1"],
            "embedding": ["status": "unhealthy", "error": "connection refused"],
        ],
    ]

    @Test func sumsUpWhatWorkersSayOfTheirDependencies() throws {
        let scenario = Scenario()
        for spawn in scenario.takeSpawns() {
            scenario.tick { $0.workerSpawned(spawn.worker, pid: 9, &$1) }
            scenario.answerHealth(spawn.worker, spawn.worker.index == 0 ? Self.report : ["status": "healthy"])
        }
        scenario.pass(.seconds(3))
        let health = try self.call(scenario, "health.detailed")
        #expect(health["status"] == "degraded", "a dependency is not there")
        #expect(self.member(health, "dependencies", "index", "status") == "healthy")
        #expect(self.member(health, "dependencies", "index", "checked_seconds_ago") == 3.0)
        #expect(self.member(health, "dependencies", "embedding", "status") == "unavailable")
        let id = scenario.effects.spawns[0].workerID
        #expect(
            self.member(health, "dependencies", "embedding", "workers", id, "error") == "connection refused")
        #expect(health["workers"]?.arrayValue?.count == 2)
        #expect(health["workers"]?.arrayValue?[0]["health"] == "healthy")
        #expect(self.member(health, "queue", "depth") == 0)

        let others = try self.call(scenario, "health.detailed", uid: 5)
        #expect(self.member(others, "dependencies", "embedding", "status") == "unavailable")
        #expect(!others.text.contains("refused"), "details are for operators")
    }

    @Test func tellsOfTheCachesWhatTheStatusTells() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        let health = try self.call(scenario, "health.detailed")
        #expect(health["cache"]?.objectValue?.map(\.name) == ["embedding", "response"])
        #expect(self.member(health, "cache", "embedding", "entries") == 1)
        #expect(self.member(health, "cache", "response", "entries") == 0)
        #expect(health["cache"] == scenario.status()["cache"])
    }

    @Test func workersThatDifferMakeADependencyDegraded() throws {
        let scenario = Scenario()
        for spawn in scenario.takeSpawns() {
            scenario.tick { $0.workerSpawned(spawn.worker, pid: 9, &$1) }
            let word: JSONValue = spawn.worker.index == 0 ? "healthy" : "unavailable"
            scenario.answerHealth(
                spawn.worker, ["status": "healthy", "dependencies": ["index": ["status": word]]])
        }
        let health = try self.call(scenario, "health.detailed")
        #expect(self.member(health, "dependencies", "index", "status") == "degraded")
    }

    @Test func whatAWorkerSaysOfDependenciesIsBelievedOnlyInReason() throws {
        let many = (0..<100).map { JSONValue.Member("d\($0)", ["status": "fine"]) }
        let long: JSONValue = ["status": "healthy", "text": .string(String(repeating: "x", count: 5000))]
        let statement = try #require(
            HealthStatement(
                result: [
                    "status": "degraded",
                    "dependencies": .object([.init("long", long), .init("word", "degraded")] + many),
                ], at: Instant(nanoseconds: 0)))
        #expect(statement.dependencies.count == 32)
        #expect(statement.dependencies[0] == .init(name: "long", status: .healthy, details: []))
        #expect(statement.dependencies[1] == .init(name: "word", status: .degraded, details: []))
        #expect(statement.dependencies[2].status == .unknown)
        for wrong: JSONValue in [[:], ["status": 1], "healthy", ["status": "fine"]] {
            #expect(HealthStatement(result: wrong, at: Instant(nanoseconds: 0)) == nil)
        }
    }

    private func checks(_ scenario: Scenario, _ worker: WorkerToken) -> Int {
        scenario.messages(to: worker).count { $0["method"] == "health.check" }
    }

    /// Calls succeed all the time, so that there is no other reason to ask.
    private func serve(_ scenario: Scenario, _ client: ConnectionToken, seconds: Int) {
        for _ in 0..<seconds {
            scenario.call(client, 7)
            scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
            scenario.pass(.seconds(1))
        }
    }

    @Test func workersThatServeAreAskedOnlyWhileSomebodyWantsToKnow() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        self.serve(scenario, client, seconds: 25)
        #expect(self.checks(scenario, worker) == 1, "the first, when it started")
        _ = try self.call(scenario, "health.detailed")
        self.serve(scenario, client, seconds: 6)
        #expect(self.checks(scenario, worker) == 2)
        scenario.answerHealth(worker, Self.report)
        let health = try self.call(scenario, "health.detailed")
        #expect(self.member(health, "dependencies", "index", "status") == "healthy")
        for _ in 0..<12 {
            self.serve(scenario, client, seconds: 10)
            if scenario.core.workers[worker].healthCheck != nil { scenario.answerHealth(worker, Self.report) }
        }
        let asked = self.checks(scenario, worker)
        #expect((7...9).contains(asked), "once an interval for a minute, and then no more: \(asked)")
    }

    @Test func aCheckForItsSakeThatFailsIsNoFaultOfAWorkerThatServes() throws {
        let scenario = Scenario.ready(workers: 1) { $0.health.timeout = .seconds(1) }
        let client = try scenario.connect()
        for _ in 0..<5 {
            _ = try self.call(scenario, "health.detailed")
            self.serve(scenario, client, seconds: 10)
        }
        #expect(self.checks(scenario, scenario.workers[0]) > 3)
        #expect(scenario.core.workers[scenario.workers[0]].failedHealthChecks == 0)
        #expect(!scenario.effects.events.contains("worker.unhealthy"))
    }

    @Test func isUnavailableWithoutAWorker() throws {
        let health = try self.call(Scenario(), "health.detailed")
        #expect(health["status"] == "unavailable")
        #expect(health["workers"]?.arrayValue?[0]["health"] == .null)
        #expect(health["dependencies"] == [:])
    }
}
