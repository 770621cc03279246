import Protocol
import Testing

@testable import Supervisor

/// `embedding_cache.get` and `.put` (protocol §5).
@Suite struct WorkerQuestionTests {
    /// 1.0 and 2.0.
    private static let vector = "AACAPwAAAEA="

    @Test func workersFindWhatOthersPut() throws {
        let scenario = Scenario.embedding()
        let (one, other) = (scenario.workers[0], scenario.workers[1])
        scenario.write(
            one,
            #"{"jsonrpc":"2.0","method":"embedding_cache.put","params":{"model":"m","texts":["a","b","c"],"embeddings":["\#(Self.vector)",[3,4.5],null]}}"#
        )
        let found = try scenario.ask(
            other, "embedding_cache.get", #"{"model":"m","texts":["b","\u0061","c"]}"#)
        #expect(found["result"] == ["embeddings": ["AABAQAAAkEA=", .string(Self.vector), .null]])
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        #expect(try scenario.answer(client)["result"]?["embeddings"] == [[1.0, 2.0]])
    }

    @Test func workersFindWhatCallersHaveAskedFor() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        let found = try scenario.ask(
            scenario.workers[0], "embedding_cache.get", #"{"model":"m","texts":["a"]}"#)
        #expect(found["result"]?["embeddings"] == ["AACAPwAAwkI="])
    }

    @Test(arguments: [
        (#"["AACAPwAAAEAA"]"#, "multiple of 4"), (#"["AACAPw=a"]"#, "Base64"), (#"["AADAfw=="]"#, "finite"),
        (#"["AACAfw=="]"#, "finite"), (#"[[1,2,3]]"#, "3 numbers"), (#"["AACAPw=="]"#, "1 numbers"),
        (#"[""]"#, "empty"),
        (#"[[]]"#, "empty"), (#"[[1,"2"]]"#, "float"), (#"[[1,1e39]]"#, "float"), (#"[true]"#, "neither"),
    ]) func whatIsNoVectorOfTheModelIsRefusedAndLogged(embeddings: String, words: String) throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["known"]) == ["known"])
        let answer = try scenario.ask(
            scenario.workers[0], "embedding_cache.put",
            #"{"model":"m","texts":["a"],"embeddings":\#(embeddings)}"#)
        #expect(answer["result"] == ["stored": 0])
        #expect(scenario.effects.events.last == "cache.embedding_refused")
        #expect(try scenario.missing(client, ["a"]) == ["a"])
    }

    @Test(arguments: [
        ("get", "[]", Optional<String>.none), ("get", #"{"texts":[]}"#, "model"),
        ("get", #"{"model":"m"}"#, "texts"), ("put", #"{"model":"m","embeddings":[]}"#, "texts"),
        ("get", #"{"model":"m","texts":"a"}"#, "texts"), ("get", #"{"model":"m","texts":[1]}"#, "texts[0]"),
        ("put", #"{"model":"m","texts":["a"],"embeddings":[]}"#, "embeddings"),
        ("put", #"{"model":5,"texts":[],"embeddings":[]}"#, "model"),
    ]) func badParamsAreAnsweredWithTheirPath(method: String, params: String, path: String?) throws {
        let scenario = Scenario.embedding()
        let answer = try scenario.ask(scenario.workers[0], "embedding_cache.\(method)", params)
        #expect(answer["error"]?["code"] == -32602)
        #expect(answer["error"]?["data"]?["path"]?.stringValue == path)
    }

    @Test(arguments: ["get", "put"]) func tooManyTextsAreRefused(method: String) throws {
        let scenario = Scenario.embedding()
        func params(_ count: Int) -> String {
            let texts = Array(repeating: #""t""#, count: count).joined(separator: ",")
            let nulls = Array(repeating: "null", count: count).joined(separator: ",")
            return #"{"model":"m","texts":[\#(texts)],"embeddings":[\#(nulls)]}"#
        }
        let method = "embedding_cache.\(method)"
        let refused = try scenario.ask(scenario.workers[0], method, params(10_001))
        #expect(refused["error"]?["code"] == -32602)
        #expect(refused["error"]?["data"]?["path"] == "texts")
        #expect(try scenario.ask(scenario.workers[0], method, params(10_000))["result"] != nil)
    }

    @Test func aModelsNameHasAnEnd() throws {
        let scenario = Scenario.embedding()
        func put(_ bytes: Int) throws -> JSONValue {
            let model = String(repeating: "m", count: bytes)
            return try scenario.ask(
                scenario.workers[0], "embedding_cache.put",
                #"{"model":"\#(model)","texts":["a"],"embeddings":["\#(Self.vector)"]}"#)
        }
        #expect(try put(1024)["result"] == ["stored": 1])
        let refused = try put(1025)
        #expect(refused["error"]?["code"] == -32602 && refused["error"]?["data"]?["path"] == "model")
        let model = String(repeating: "m", count: 1025)
        let found = try scenario.ask(
            scenario.workers[0], "embedding_cache.get", #"{"model":"\#(model)","texts":["a"]}"#)
        #expect(found["result"] == ["embeddings": [.null]], "nothing is kept under it")
    }

    /// What does not fit into a message is not given, rather than too long an answer: the worker makes it itself.
    @Test func anAnswerIsNoLongerThanAMessage() throws {
        let scenario = Scenario.embedding { $0.limits.messages.messageBytes = 4096 }
        let worker = scenario.workers[0]
        let numbers = Array(repeating: "1", count: 100).joined(separator: ",")
        let texts = (0..<10).map { #""t\#($0)""# }
        for text in texts {
            let put = #"{"model":"m","texts":[\#(text)],"embeddings":[[\#(numbers)]]}"#
            #expect(try scenario.ask(worker, "embedding_cache.put", put)["result"] == ["stored": 1])
        }
        let answer = try scenario.ask(
            worker, "embedding_cache.get", #"{"model":"m","texts":[\#(texts.joined(separator: ","))]}"#)
        let vectors = try #require(answer["result"]?["embeddings"]?.arrayValue)
        #expect(vectors.count == 10)
        let given = vectors.count { $0 != .null }
        #expect((1..<10).contains(given) && vectors.prefix(given).allSatisfy { $0 != .null })
        #expect(answer.text.utf8.count <= 4096)
        #expect(answer.text.utf8.count > 2000, "as much as there is room for")
    }

    @Test func whatIsNotKnownIsSaidToBe() throws {
        let scenario = Scenario.embedding()
        let answer = try scenario.ask(scenario.workers[0], "embedding_cache.drop", "{}")
        #expect(answer["error"]?["code"] == -32601)
    }

    @Test(arguments: [false, true]) func poolsAreApartUnlessTheModelIsShared(isShared: Bool) throws {
        let scenario = Scenario {
            var second = $0.pools[0]
            second.name = "second"
            $0.pools.append(second)
            for index in 0..<2 { ($0.pools[index].minWorkers, $0.pools[index].maxWorkers) = (1, 1) }
            if isShared { $0.cache.sharedModels = ["m"] }
        }
        scenario.makeReady()
        let put = #"{"model":"m","texts":["a"],"embeddings":["\#(Self.vector)"]}"#
        _ = try scenario.ask(scenario.workers[0], "embedding_cache.put", put)
        let found = try scenario.ask(
            scenario.workers[1], "embedding_cache.get", #"{"model":"m","texts":["a"]}"#)
        #expect(found["result"]?["embeddings"] == [isShared ? .string(Self.vector) : .null])
    }

    @Test func aPreparingProcessMayUseItAndNothingElse() throws {
        let scenario = Scenario {
            $0.pools[0].prepare = ["index"]
            ($0.pools[0].minWorkers, $0.pools[0].maxWorkers) = (1, 1)
        }
        let preparing = scenario.workers[0]
        scenario.tick { $0.workerSpawned(preparing, pid: 5, &$1) }
        let put = #"{"model":"m","texts":["a"],"embeddings":["\#(Self.vector)"]}"#
        #expect(try scenario.ask(preparing, "embedding_cache.put", put)["result"] == ["stored": 1])
        scenario.write(preparing, #"{"jsonrpc":"2.0","id":"w2","method":"other"}"#)
        #expect(!scenario.messages(to: preparing).contains { $0["id"] == "w2" })
        #expect(scenario.effects.events.last == "prepare.stdout")
    }

    @Test func oneThatDoesNotReadItsAnswersGetsNoMore() throws {
        let scenario = Scenario.embedding()
        let worker = scenario.workers[0]
        scenario.effects.inputBacklogs[worker] = 17 << 20
        let before = scenario.effects.toWorkers[worker]?.count
        scenario.write(worker, #"{"jsonrpc":"2.0","id":"w1","method":"embedding_cache.get"}"#)
        #expect(scenario.effects.toWorkers[worker]?.count == before)
        #expect(scenario.effects.events.last == "worker.question_dropped")
    }
}
