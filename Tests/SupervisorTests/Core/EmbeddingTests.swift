import Protocol
import Testing

@testable import Supervisor

/// `embedding.create` (protocol §3).
@Suite struct EmbeddingTests {
    typealias Failure = Scenario.Failure

    // MARK: What is asked of workers

    @Test func ofAHundredTextsOnlyTheDistinctMissingOnesAreAskedFor() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        let cached = (0..<40).map { "cached \($0)" }
        #expect(try scenario.missing(client, cached) == cached)
        let new = (0..<50).map { "new \($0)" }
        let texts = (cached + new + new.prefix(10)).shuffled()
        #expect(Set(try scenario.missing(client, texts)) == Set(new))
        #expect(scenario.sent == 2)
        #expect(try scenario.missing(client, texts) == [], "all are there now")
        #expect(scenario.embeddingFigure("entries") == 90)
        #expect(scenario.core.requests.count == 0)
    }

    @Test func tooManyTextsAreRefusedBeforeAWorkerSeesThem() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.embed(client, Array(repeating: "t", count: 10_001))
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602 && error["data"]?["path"] == "input[10000]")
        #expect(scenario.sent == 0)
        #expect(try scenario.missing(client, ["t"]) == ["t"], "the connection lives")
    }

    @Test func sayWhetherAWorkerWasAsked() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        for word in ["miss", "hit"] {
            scenario.embed(client, ["a"])
            if word == "miss" { try scenario.answerQuestion() }
            #expect(try scenario.word(client) == word)
        }
    }

    @Test func aTextIsTheSameHoweverItIsSpelled() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["é\n"]) == ["é\n"])
        scenario.send(
            client,
            #"{"jsonrpc":"2.0","id":1,"method":"embedding.\u0063reate","params":{"model":"m","input":"\u00e9\u000A"}}"#
        )
        #expect(scenario.sent == 1)
        try scenario.expectVectors(client, ["é\n"])
    }

    @Test func modelsAreTheWorldsApart() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.embed(client, ["a"], model: "other")
        #expect(try scenario.openQuestion().model == "other")
        try scenario.answerQuestion(model: "other")
        try scenario.expectVectors(client, ["a"], model: "other")
        #expect(try scenario.missing(client, ["a"]) == [])
    }

    @Test func numbersAreTheSameHitOrMiss() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        try scenario.replyToOpenCall(["model": "m", "embeddings": [[.double(0.1), .double(1e-7)]]])
        let miss = try scenario.answer(client)["result"]
        scenario.embed(client, ["a"])
        #expect(try scenario.answer(client)["result"] == miss)
    }

    @Test(arguments: ["bypass", "refresh"]) func theCallerMayWantNewOnes(word: String) throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"], metadata: ["cache": .string(word)]) == ["a"])
        #expect(try scenario.missing(client, ["a", "a"], metadata: ["cache": .string(word)]) == ["a"])
        #expect(try scenario.missing(client, ["a"]) == (word == "bypass" ? ["a"] : []))
    }

    @Test func privateOnesAreTheUsersOwn() throws {
        let scenario = Scenario.embedding()
        let (mine, other) = (try scenario.connect(uid: 5), try scenario.connect(uid: 6))
        let own: JSONValue = ["cache_scope": "private"]
        #expect(try scenario.missing(mine, ["a"], metadata: own) == ["a"])
        #expect(try scenario.missing(mine, ["a"], metadata: own) == [])
        #expect(try scenario.missing(other, ["a"], metadata: own) == ["a"])
        #expect(try scenario.missing(other, ["a"]) == ["a"])
    }

    @Test func withoutACacheEveryTextIsAskedForOnce() throws {
        let scenario = Scenario.embedding { $0.cache.embeddingCacheSize = 0 }
        let client = try scenario.connect()
        for _ in 0..<2 { #expect(try scenario.missing(client, ["a", "b", "a"]) == ["a", "b"]) }
    }

    @Test func theyExpire() throws {
        let scenario = Scenario.embedding { $0.cache.embeddingCacheTTL = .seconds(60) }
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.pass(.seconds(59))
        #expect(try scenario.missing(client, ["a"]) == [])
        scenario.pass(.seconds(1))
        #expect(try scenario.missing(client, ["a"]) == ["a"])
    }

    // MARK: Models that nobody named

    @Test func theModelIsLearnedFromTheFirstAnswer() throws {
        let scenario = Scenario.embedding(model: nil)
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        #expect(try scenario.openQuestion().model == nil)
        try scenario.answerQuestion()
        try scenario.expectVectors(client, ["a"])
        scenario.embed(client, ["a", "b"])
        #expect(try scenario.openQuestion() == (["b"], "m"))
        try scenario.answerQuestion()
        try scenario.expectVectors(client, ["a", "b"])
    }

    @Test func vectorsOfTwoModelsAreNeverMixed() throws {
        let scenario = Scenario.embedding(workers: 1, model: nil)
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        try scenario.answerQuestion(model: "m")
        _ = scenario.take(client)
        scenario.embed(client, ["a", "b"])
        try scenario.answerQuestion(model: "n")
        #expect(try scenario.openQuestion().texts == ["a", "b"], "a's vector is of another model")
        #expect(scenario.take(client) == [])
        try scenario.answerQuestion(model: "n")
        try scenario.expectVectors(client, ["a", "b"], model: "n")
        scenario.embed(client, ["a", "b"])
        try scenario.expectVectors(client, ["a", "b"], model: "n")
        #expect(scenario.core.requests.count == 0)
    }

    @Test func aWorkerThatNamesNoModelIsAskedEveryTime() throws {
        let scenario = Scenario.embedding(model: nil)
        let client = try scenario.connect()
        for _ in 0..<2 {
            scenario.embed(client, ["a"])
            try scenario.answerQuestion(model: nil)
            #expect(try scenario.answer(client)["result"]?["model"] == .null)
        }
    }

    @Test func whatWasLearnedIsForgottenWithTheEpoch() throws {
        let scenario = Scenario.embedding(workers: 1, model: nil)
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.declare(scenario.workers[0], epoch: "2")
        scenario.embed(client, ["a"])
        #expect(try scenario.openQuestion() == (["a"], nil))
    }

    // MARK: Answers that are none

    @Test(arguments: [
        #"{"embeddings":[[1,2]]}"#, #"{"embeddings":[[1,2],[1,null]]}"#, #"{"embeddings":[[1,2],[1]]}"#, "7",
        #"{"embeddings":[[1,2,3],[1,2,3]],"model":"m"}"#,
    ]) func areTriedElsewhereAndThenFail(result: String) throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["x"]) == ["x"])
        scenario.embed(client, ["a", "b"])
        for _ in 0..<2 {
            let (worker, call) = try scenario.openCall()
            scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call),"result":\#(result)}"#)
        }
        #expect(try scenario.error(client) == Failure(1003, "reply_not_embeddings"))
        #expect(scenario.effects.events.contains("worker.unreadable_reply"))
        #expect(scenario.embeddingFigure("entries") == 1, "nothing of it is stored")
    }

    @Test func anErrorOfTheWorkerIsPassedOn() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        try scenario.failOpenCall(code: 4002)
        #expect(try scenario.error(client).code == 4002)
    }

    @Test func anAnswerThatIsLargerThanAMessageIsRefused() throws {
        let scenario = Scenario.embedding { $0.limits.messages.messageBytes = 4096 }
        let client = try scenario.connect()
        let texts = (0..<600).map { "\($0 % 100)" }
        #expect(try scenario.missing(client, Array(texts[..<100])).count == 100)
        for _ in 0..<2 {
            let before = scenario.sent
            scenario.embed(client, texts + ["new"])
            if scenario.sent > before { try scenario.answerQuestion() }
            #expect(try scenario.error(client) == Failure(2003, "memory"))
        }
    }

    // MARK: Sharing a call

    @Test func equalQuestionsShareOneCall() throws {
        let scenario = Scenario.embedding()
        let clients = try (0..<50).map { _ in try scenario.connect() }
        for client in clients { scenario.embed(client, ["a", "b"]) }
        #expect(scenario.sent == 1)
        try scenario.answerQuestion()
        for client in clients { try scenario.expectVectors(client, ["a", "b"]) }
        #expect(scenario.core.requests.count == 0)
    }

    @Test func thoseWhoMissTheSameShareItWhateverElseTheyAskFor() throws {
        let scenario = Scenario.embedding()
        let (one, other) = (try scenario.connect(), try scenario.connect())
        #expect(try scenario.missing(one, ["known"]) == ["known"])
        scenario.embed(one, ["a"])
        scenario.embed(other, ["known", "a", "a"])
        #expect(scenario.sent == 2)
        try scenario.answerQuestion()
        try scenario.expectVectors(one, ["a"])
        try scenario.expectVectors(other, ["known", "a", "a"])
    }

    @Test func aSecondWorkerIsAskedWhenTheFirstDies() throws {
        let scenario = Scenario.embedding()
        let clients = try (0..<3).map { _ in try scenario.connect() }
        for client in clients { scenario.embed(client, ["a"]) }
        let (first, _) = try scenario.openCall()
        scenario.exit(first)
        #expect(try scenario.openCall().worker != first)
        try scenario.answerQuestion()
        for client in clients { try scenario.expectVectors(client, ["a"]) }
        #expect(scenario.sent == 2)
    }

    @Test func aQuestionThatKillsTwoWorkersIsRefusedAsItWasAsked() throws {
        let scenario = Scenario.embedding(workers: 3)
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["known"]) == ["known"])
        scenario.embed(client, ["known", "boom"])
        for _ in 0..<2 { scenario.exit(try scenario.openCall().worker) }
        #expect(try scenario.error(client).code == 2001)
        scenario.embed(client, ["known", "boom"])
        #expect(try scenario.error(client) == Failure(2003, "poison_request"))
        #expect(try scenario.missing(client, ["known", "harmless"]) == ["harmless"])
    }

    @Test func whatIsUnderWayAtAClearIsNotStored() throws {
        let scenario = Scenario.embedding()
        let (client, operatorClient) = (try scenario.connect(), try scenario.connect())
        scenario.embed(client, ["a"])
        scenario.call(operatorClient, 1, "cache.clear", params: ["cache_type": "embedding"])
        try scenario.answerQuestion()
        try scenario.expectVectors(client, ["a"])
        #expect(scenario.embeddingFigure("entries") == 0)
        #expect(try scenario.missing(client, ["a"]) == ["a"])
    }

    @Test func aTimeoutIsTheCallersOwn() throws {
        let scenario = Scenario.embedding()
        let (hasty, patient) = (try scenario.connect(), try scenario.connect())
        scenario.embed(hasty, ["a"], metadata: ["timeout_ms": 100])
        scenario.embed(patient, ["a"])
        scenario.pass(.milliseconds(100))
        #expect(try scenario.error(hasty).code == 1002)
        try scenario.answerQuestion()
        try scenario.expectVectors(patient, ["a"])
        #expect(scenario.core.requests.count == 0 && scenario.core.requests.heldBytes == 0)
    }

    @Test func badParamsAreRefusedWithTheirPath() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.call(client, 1, "embedding.create", params: ["input": ["a", 5]])
        let error = try #require(try scenario.answer(client)["error"])
        #expect(error["code"] == -32602 && error["data"]?["path"] == "input[1]")
        #expect(scenario.sent == 0)
    }

    @Test func aNotificationIsPassedOn() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.send(client, #"{"jsonrpc":"2.0","method":"embedding.create","params":{"input":"a"}}"#)
        let heard = scenario.workers.flatMap { scenario.messages(to: $0) }
        #expect(heard.contains { $0["method"] == "embedding.create" && $0["id"] == nil })
    }
}
