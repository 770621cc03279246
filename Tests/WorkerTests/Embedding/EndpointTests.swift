import Protocol
import Testing

@testable import Worker

@Suite struct EndpointDialectTests {
    @Test(arguments: [
        (EndpointDialect.ollama, "http://h", "/api/embed"), (.ollama, "http://h/v1", "/api/embed"),
        (.openai, "http://h", "/v1/embeddings"), (.openai, "http://h/v1/", "/embeddings"),
        (.openai, "http://h/team", "/v1/embeddings"),
    ])
    func knowsItsPath(dialect: EndpointDialect, address: String, path: String) throws {
        #expect(dialect.path(below: try HTTPAddress(address)) == path)
    }

    @Test(arguments: [EndpointDialect.ollama, .openai])
    func asksForSeveralTextsAtOnce(dialect: EndpointDialect) {
        let request = String(decoding: dialect.request(model: "m", texts: ["a\n", "b"]), as: UTF8.self)
        #expect(request == #"{"model":"m","input":["a\n","b"]}"#)
    }

    static func vectors(
        _ dialect: EndpointDialect, _ answer: String, dimensions: Int? = nil
    ) -> Result<[[Float]], EndpointDialect.Fault> {
        Result { () throws(EndpointDialect.Fault) in
            try dialect.vectors(in: Array(answer.utf8), count: 2, dimensions: dimensions)
        }
    }

    @Test(arguments: [
        (EndpointDialect.ollama, #"{"model":"m","embeddings":[[1,2.5],[-3e-1,0]],"total_duration":7}"#),
        (.openai, #"{"data":[{"index":1,"embedding":[-0.3,0]},{"index":0,"embedding":[1,2.5]}]}"#),
        (.openai, #"{"data":[{"embedding":[1,2.5]},{"embedding":[-0.3,0]}]}"#),
    ])
    func readsTheVectorsInTheOrderOfTheTexts(dialect: EndpointDialect, answer: String) throws {
        #expect(try Self.vectors(dialect, answer).get() == [[1, 2.5], [-0.3, 0]])
    }

    @Test(arguments: [
        (EndpointDialect.ollama, "<html>", "its answer is not JSON: expected a value at byte 0"),
        (.ollama, #"{"embeddings":[[1,NaN],[1,2]]}"#, "its answer is not JSON: expected a value at byte 18"),
        (.ollama, #"{"embeddings":[[1]]}"#, "it gave 1 vectors for 2 texts"),
        (.ollama, #"{"embeddings":[[1],[1],[1]]}"#, "it gave 3 vectors for 2 texts"),
        (.ollama, #"{"embedding":[1]}"#, "its answer has no array `embeddings`"),
        (.openai, #"{"embeddings":[[1],[1]]}"#, "its answer has no array `data`"),
        (.ollama, #"{"embeddings":[[1],[1,2]]}"#, "its vector 1 has 2 numbers, expected 1"),
        (.ollama, #"{"embeddings":[[],[]]}"#, "its vector 0 is no array of numbers"),
        (.ollama, #"{"embeddings":[[1],"x"]}"#, "its vector 1 is no array of numbers"),
        (.ollama, #"{"embeddings":[[1],[null]]}"#, "its vector 1 holds something else than finite numbers"),
        (.ollama, #"{"embeddings":[[1e39],[1]]}"#, "its vector 0 holds something else than finite numbers"),
        (
            .openai, #"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            "the `index` of its vector 1 is none of its own"
        ),
        (
            .openai, #"{"data":[{"index":2,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            "the `index` of its vector 0 is none of its own"
        ),
        (.openai, #"{"data":[{"index":0},{"index":1}]}"#, "its vector 0 is no array of numbers"),
    ])
    func saysWhyAnAnswerCannotBeUsed(dialect: EndpointDialect, answer: String, why: String) {
        #expect(Self.vectors(dialect, answer) == .failure(EndpointDialect.Fault(why)))
    }

    @Test func refusesVectorsOfAnotherLengthThanTheConfiguredOne() {
        let result = Self.vectors(.ollama, #"{"embeddings":[[1],[2]]}"#, dimensions: 3)
        #expect(result == .failure(EndpointDialect.Fault("its vector 0 has 1 numbers, expected 3")))
    }
}

@Suite struct EndpointEmbedderTests {
    static func embedder(
        _ server: ScriptedServer, _ change: (inout EndpointSettings) -> Void = { _ in }
    ) throws -> EndpointEmbedder {
        var settings = EndpointSettings(dialect: .ollama, address: try server.address, model: "m")
        change(&settings)
        return EndpointEmbedder(settings)
    }

    static func embed(
        _ embedder: EndpointEmbedder, _ texts: [String]
    ) async -> Result<[[Float]], EmbeddingFailure> {
        await onOwnThread {
            Result { () throws(EmbeddingFailure) in try embedder.embed(texts, isCancelled: { false }) }
        }
    }

    /// An Ollama whose vectors are the number of a text's characters and that of texts in its request.
    static func countingServer() throws -> ScriptedServer {
        try ScriptedServer { request in
            let body = request.split(separator: "\r\n").last.map(String.init) ?? ""
            let texts = (try? JSONValue(parsing: body))?["input"]?.arrayValue ?? []
            let vectors = texts.map {
                JSONValue.array([.integer($0.stringValue?.count ?? 0), .integer(texts.count)])
            }
            return JSONValue.object([.init("embeddings", .array(vectors))]).text
        }
    }

    @Test func embedsInBatchesAndLearnsTheDimensions() async throws {
        let server = try Self.countingServer()
        let embedder = try Self.embedder(server) { $0.batchSize = 2 }
        #expect(embedder.dimensions == nil)
        #expect(try await Self.embed(embedder, ["a", "bb", "ccc"]).get() == [[1, 2], [2, 2], [3, 1]])
        #expect(embedder.dimensions == 2)
        #expect(server.requests.count == 2)
        #expect(embedder.health.complaint == nil)
    }

    @Test func showsTheKeyToTheServerOnly() async throws {
        let server = try ScriptedServer { connection in
            while connection.request() != nil { connection.answer("no", status: "401 Unauthorized") }
        }
        let embedder = try Self.embedder(server) { $0.apiKey = "s3cret" }
        guard case .failure(let failure) = await Self.embed(embedder, ["a"]) else {
            Issue.record("it was refused")
            return
        }
        #expect(server.requests[0].contains("\r\nAuthorization: Bearer s3cret\r\n"))
        #expect(!"\(failure.rpcError)".contains("s3cret"))
        #expect(failure.rpcError.retryable == false)
    }

    @Test func quotesTheBeginningOfAnError() async throws {
        let body = String(repeating: "\u{1b}[31mout of memory ", count: 100)
        let server = try ScriptedServer { connection in
            while connection.request() != nil { connection.answer(body, status: "500 Internal Server Error") }
        }
        let embedder = try Self.embedder(server)
        let result = await Self.embed(embedder, ["a"])
        let why = "it answered 500: \\x1b[31mout of memory \\x1b[31mout of memory \\x1b[…"
        let failure = EmbeddingFailure(
            .refused(status: 500), "The embedding endpoint \(embedder.url) cannot be used: \(why)",
            url: embedder.url)
        #expect(result == .failure(failure))
        #expect(failure.rpcError.code == .missingDependencies && failure.rpcError.retryable)
        #expect(failure.rpcError.recovery == .fallbackTechnique)
        #expect(failure.rpcError.details == [.init("url", .string(embedder.url))])
        #expect(embedder.health.complaint == failure.description)
    }

    @Test func namesAnEndpointThatIsNotThere() async throws {
        let port = ScriptedServer.closedPort
        let settings = EndpointSettings(
            dialect: .ollama, address: try HTTPAddress("http://127.0.0.1:\(port)"), model: "m")
        let result = await Self.embed(EndpointEmbedder(settings), ["a"])
        guard case .failure(let failure) = result else {
            Issue.record("nobody listens there")
            return
        }
        #expect(failure.kind == .unreachable && failure.isPassing)
        #expect(failure.description.contains("\(port)/api/embed cannot be used: cannot connect"))
    }
}

@Suite struct EndpointHealthTests {
    static let away = EmbeddingFailure(.unreachable, "away")
    let start = MonotonicClock(nanoseconds: 0)

    func isAdmitted(_ health: EndpointHealth, after milliseconds: Int64) -> Bool {
        (try? health.admit(now: self.start.adding(milliseconds: milliseconds))) != nil
    }

    @Test func letsOneCallTryASilentEndpointAfterAPause() {
        let health = EndpointHealth(url: "u")
        #expect(self.isAdmitted(health, after: 0))
        health.note(Self.away, now: self.start)
        #expect(!self.isAdmitted(health, after: 999))
        #expect(self.isAdmitted(health, after: 1_000))
        #expect(!self.isAdmitted(health, after: 1_001))
        // Who gave up says nothing of the endpoint: another may try.
        health.note(EmbeddingFailure(.cancelled, "cancelled"), now: self.start.adding(milliseconds: 1_002))
        #expect(self.isAdmitted(health, after: 1_003))
        health.note(nil, now: self.start.adding(milliseconds: 1_004))
        #expect(self.isAdmitted(health, after: 1_004) && self.isAdmitted(health, after: 1_004))
        #expect(health.complaint == nil)
    }

    @Test func doesNotHoldBackCallsToAnEndpointThatAnswersWithErrors() {
        let health = EndpointHealth(url: "u")
        health.note(EmbeddingFailure(.refused(status: 500), "no"), now: self.start)
        #expect(self.isAdmitted(health, after: 0) && self.isAdmitted(health, after: 0))
        #expect(health.complaint == "no")
    }

    @Test func isProbedWhileItIsUnknownOrFailing() {
        let health = EndpointHealth(url: "u")
        #expect(health.complaint == "The embedding endpoint u has not answered yet")
        #expect(health.claimProbe(now: self.start) == .first)
        #expect(health.claimProbe(now: self.start.adding(milliseconds: 4_999)) == .notNeeded)
        #expect(health.claimProbe(now: self.start.adding(milliseconds: 5_000)) == .again)
        health.note(nil, now: self.start)
        #expect(health.claimProbe(now: self.start.adding(milliseconds: 60_000)) == .notNeeded)
        health.note(Self.away, now: self.start)
        #expect(health.claimProbe(now: self.start.adding(milliseconds: 70_000)) == .again)
    }
}
