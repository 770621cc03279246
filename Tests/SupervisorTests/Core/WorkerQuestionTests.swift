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
        ("get", #"{"model":"m","texts":"a"}"#, "texts"), ("get", #"{"model":"m","texts":[1]}"#, "texts[0]"),
        ("put", #"{"model":"m","texts":["a"],"embeddings":[]}"#, "embeddings"),
        ("put", #"{"model":5,"texts":[],"embeddings":[]}"#, "model"),
    ]) func badParamsAreAnsweredWithTheirPath(method: String, params: String, path: String?) throws {
        let scenario = Scenario.embedding()
        let answer = try scenario.ask(scenario.workers[0], "embedding_cache.\(method)", params)
        #expect(answer["error"]?["code"] == -32602)
        #expect(answer["error"]?["data"]?["path"]?.stringValue == path)
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
