import Protocol
import Testing

@testable import Supervisor

/// `pipeline.initialize`, `.destroy`, `.list` (protocol §3).
@Suite struct PipelineTests {
    typealias Failure = Scenario.Failure

    private static func scenario(workers: Int = 2) -> Scenario {
        Scenario.ready(
            workers: workers, capabilities: ["techniques": ["bm25", "hybrid"], "max_concurrency": 4]
        ) { $0.health.interval = .seconds(36_000) }
    }

    private static func asked(_ scenario: Scenario, _ method: String) -> [(
        worker: WorkerToken, message: JSONValue
    )] {
        scenario.workers.flatMap { worker in
            scenario.messages(to: worker).filter { $0["method"]?.stringValue == method }.map { (worker, $0) }
        }
    }

    private static func answer(
        _ scenario: Scenario, _ asked: (worker: WorkerToken, message: JSONValue), code: Int? = nil
    ) {
        let id = asked.message["id"]?.integerValue
        guard let code else { return scenario.reply(asked.worker, id, nil ?? ["ok": true]) }
        scenario.write(
            asked.worker, #"{"jsonrpc":"2.0","id":\#(id ?? 0),"error":{"code":\#(code),"message":"no"}}"#)
    }

    /// Initializes a pipeline at all workers.
    private static func initialize(
        _ scenario: Scenario, _ client: ConnectionToken,
        _ params: JSONValue = ["technique": "bm25", "config": ["k1": 2]]
    ) throws -> String {
        scenario.call(client, 1, "pipeline.initialize", params: params)
        for worker in scenario.workers {
            let asked = Self.asked(scenario, "pipeline.initialize").last { $0.worker == worker }
            if let asked { Self.answer(scenario, asked) }
        }
        return try #require(try scenario.answer(client)["result"]?["pipeline_id"]?.stringValue)
    }

    private static func states(_ scenario: Scenario, _ client: ConnectionToken) throws -> [String?] {
        scenario.call(client, 2, "pipeline.list")
        return try scenario.answer(client)["result"]?.arrayValue?.map { $0["state"]?.stringValue } ?? []
    }

    @Test func areToldToEveryWorker() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":1,"method":"pipeline.initialize","params":{"technique":"bm25","config":{ "b" : 1.50, "a":[] }}}"#
        )
        #expect(scenario.take(client) == [])
        let asked = Self.asked(scenario, "pipeline.initialize")
        #expect(asked.count == 2)
        #expect(try Self.states(scenario, client) == ["initializing"])
        let id = try #require(asked[0].message["params"]?["pipeline_id"]?.stringValue)
        #expect(id.hasPrefix("bm25_") && id.utf8.count == 13)
        #expect(asked[0].message["params"]?["config"] == ["b": 1.5, "a": []])
        for one in asked { Self.answer(scenario, one) }
        #expect(try scenario.answer(client)["result"] == ["pipeline_id": .string(id)])
        #expect(try Self.states(scenario, client) == ["ready"])
        #expect(scenario.core.broadcasts.count == 0 && scenario.core.requests.count == 0)
    }

    @Test func theSameConfigurationIsTheSamePipeline() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        let one = try Self.initialize(scenario, client, ["technique": "bm25", "config": ["a": 1, "b": 2]])
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":1,"method":"pipeline.initialize","params":{"config":{"b":2.0,"a":1e0},"technique":"bm25"}}"#
        )
        #expect(try scenario.answer(client)["result"]?["pipeline_id"]?.stringValue == one)
        #expect(Self.asked(scenario, "pipeline.initialize").count == 2, "nobody was asked again")
        let other = try Self.initialize(scenario, client, ["technique": "bm25", "config": ["a": 2]])
        let plain = try Self.initialize(scenario, client, ["technique": "bm25"])
        #expect(Set([one, other, plain]).count == 3)
        #expect(try Self.initialize(scenario, client, ["technique": "bm25", "config": [:]]) == plain)
    }

    @Test(arguments: [(-32601, "not_supported"), (3002, "worker_refused")])
    func oneThatFailsUndoesTheOthers(code: Int, reason: String) throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "pipeline.initialize", params: ["technique": "bm25"])
        let asked = Self.asked(scenario, "pipeline.initialize")
        Self.answer(scenario, asked[0])
        Self.answer(scenario, asked[1], code: code)
        #expect(try scenario.error(client) == Failure(3002, reason))
        #expect(Self.asked(scenario, "pipeline.destroy").count == 2)
        #expect(try Self.states(scenario, client) == [])
    }

    @Test func oneThatDoesNotAnswerInTimeUndoesTheOthers() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(
            client, 1, "pipeline.initialize", params: ["technique": "bm25"], metadata: ["timeout_ms": 3000])
        Self.answer(scenario, Self.asked(scenario, "pipeline.initialize")[0])
        scenario.pass(.seconds(3))
        #expect(try scenario.error(client) == Failure(3002, "no_answer"))
    }

    @Test func oneThatDiesDoesNotCount() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, "pipeline.initialize", params: ["technique": "bm25"])
        let asked = Self.asked(scenario, "pipeline.initialize")
        scenario.exit(asked[0].worker)
        Self.answer(scenario, asked[1])
        #expect(try scenario.answer(client)["result"] != nil)
    }

    @Test func areReplayedToWorkersThatComeLater() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        let id = try Self.initialize(scenario, client)
        scenario.exit(scenario.workers[0])
        scenario.pass(.seconds(1))
        let newcomer = try #require(scenario.takeSpawns().last?.worker)
        scenario.makeReady(newcomer, ["techniques": ["bm25"]])
        let asked = Self.asked(scenario, "pipeline.initialize").filter { $0.worker == newcomer }
        #expect(asked.count == 1 && asked[0].message["params"]?["pipeline_id"]?.stringValue == id)
        Self.answer(scenario, asked[0], code: 3002)
        #expect(try Self.states(scenario, client) == ["degraded"])
        #expect(scenario.effects.fields(of: "pipeline.replay_failed").first?["error"] != nil)
        scenario.exit(newcomer)
        #expect(try Self.states(scenario, client) == ["ready"])
    }

    @Test func goWhereTheirTechniqueGoes() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        let id = try Self.initialize(scenario, client)
        scenario.call(client, 3, "rag.execute", params: ["technique": .string(id), "query": "q"])
        #expect(scenario.sent == 1)
        try scenario.replyToOpenCall()
        #expect(try scenario.answer(client)["result"] == "done")
        scenario.call(client, 4, "rag.execute", params: ["technique": "bm25_00000000", "query": "q"])
        #expect(try scenario.error(client) == Failure(3001, "unknown_pipeline"))
        scenario.call(client, 4, "rag.execute", params: ["technique": "bm26", "query": "q"])
        #expect(try scenario.error(client) == Failure(1001, "no_worker_for_technique"))
    }

    @Test func areDestroyed() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        let id = try Self.initialize(scenario, client)
        scenario.call(client, 5, "pipeline.destroy", params: ["pipeline_id": .string(id)])
        for one in Self.asked(scenario, "pipeline.destroy") { Self.answer(scenario, one) }
        let answer = try scenario.answer(client)
        #expect(answer["result"] == .null && answer["error"] == nil)
        for _ in 0..<2 {
            scenario.call(client, 5, "pipeline.destroy", params: ["pipeline_id": .string(id)])
            #expect(try scenario.error(client) == Failure(3001, "unknown_pipeline"))
        }
        scenario.call(client, 4, "rag.execute", params: ["technique": .string(id), "query": "q"])
        #expect(try scenario.error(client).code == 3001)
    }

    @Test(arguments: [
        #"{}"#, #"{"technique":"a\u001bb"}"#, #"{"technique":"bm25","config":[]}"#,
        #"{"technique":"bm25","config":{"a":1,"a":2}}"#,
        #"{"technique":"bm25","confg":{}}"#, #"{"technique":5}"#, #"{"technique":""}"#,
    ]) func badParamsAreRefused(params: String) throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","id":1,"method":"pipeline.initialize","params":\#(params)}"#)
        #expect(try scenario.error(client).code == -32602)
    }

    /// A name that would write on somebody's terminal: refused, and told of without doing so.
    @Test(arguments: [#"a\u0001b"#, #"a\u001b[2Jb"#, #"a\u007fb"#])
    func namesWithControlCharactersAreRefusedAndEscaped(technique: String) throws {
        for capabilities: JSONValue in [[:], ["techniques": ["bm25"]]] {
            let scenario = Scenario.ready(workers: 1, capabilities: capabilities)
            let client = try scenario.connect()
            for method in ["pipeline.initialize", "rag.execute"] {
                scenario.send(
                    client,
                    #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":{"technique":"\#(technique)"}}"#)
            }
            let answers = scenario.take(client)
            let isOffered = capabilities == [:]
            #expect(answers.map { $0["error"]?["code"] } == (isOffered ? [-32602] : [1001, 1001]))
            #expect(scenario.sent == (isOffered ? 1 : 0), "a worker that offers anything judges it itself")
            for answer in answers {
                #expect(answer["error"]?["message"]?.stringValue?.contains(#"a\x"#) == true)
            }
            #expect(try Self.states(scenario, client) == [], "the connection lives, and there is no pipeline")
            var log: [UInt8] = []
            for record in scenario.effects.records {
                LogFormat.appendText(record, time: "", colours: false, to: &log)
                LogFormat.appendJSON(record, time: "", to: &log)
            }
            #expect(!log.contains { $0 == 0x7F || ($0 < 0x20 && $0 != 0x0A) })
        }
    }

    @Test func thereAreNoMoreThanTheLimit() throws {
        let scenario = Self.scenario(workers: 1)
        let (client, other) = (try scenario.connect(), try scenario.connect())
        func params(_ number: Int) -> JSONValue { ["technique": "bm25", "config": ["n": .integer(number)]] }
        for number in 0..<256 {
            scenario.call(
                number < 200 ? client : other, number, "pipeline.initialize", params: params(number))
        }
        #expect(scenario.take(other).isEmpty)
        scenario.call(other, 1, "pipeline.initialize", params: params(256))
        #expect(try scenario.error(other) == Failure(2003, "too_many_pipelines"))
        scenario.call(other, 1, "pipeline.initialize", params: params(0))
        #expect(scenario.take(other).isEmpty, "one that is there already takes no room")
        Self.answer(scenario, try #require(Self.asked(scenario, "pipeline.initialize").first), code: 3002)
        #expect(try scenario.error(other) == Failure(3002, "worker_refused"))
        scenario.call(other, 1, "pipeline.initialize", params: params(256))
        #expect(scenario.take(other).isEmpty, "there is room again")
    }

    @Test func aConfigurationHasAnEnd() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        func initialize(_ bytes: Int) {
            let text = String(repeating: "x", count: bytes - #"{"a":""}"#.utf8.count)
            scenario.call(
                client, 1, "pipeline.initialize",
                params: ["technique": "bm25", "config": ["a": .string(text)]])
        }
        initialize(65_536)
        #expect(scenario.take(client).isEmpty && Self.asked(scenario, "pipeline.initialize").count == 2)
        initialize(65_537)
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602 && error["data"]?["path"] == "config")
    }

    @Test func areForOperatorsAndKnownTechniques() throws {
        let scenario = Self.scenario()
        let (client, stranger) = (try scenario.connect(), try scenario.connect(uid: 4711))
        scenario.call(stranger, 1, "pipeline.initialize", params: ["technique": "bm25"])
        #expect(try scenario.error(stranger).code == -32001)
        scenario.call(stranger, 1, "pipeline.list")
        #expect(try scenario.answer(stranger)["result"] == [])
        scenario.call(client, 1, "pipeline.initialize", params: ["technique": "bm52"])
        #expect(try scenario.error(client) == Failure(1001, "no_worker_for_technique"))
    }
}
