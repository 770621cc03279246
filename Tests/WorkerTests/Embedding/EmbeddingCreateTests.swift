import Glibc
import Protocol
import Testing

@testable import Worker

@Suite struct EmbeddingParametersTests {
    static func error(_ params: String?) -> RPCError? {
        do {
            let parameters = try EmbeddingParameters(Array((params ?? "").utf8))
            try parameters.checkModel("lsi-3")
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        (#"{"input":"a"}"#, ["a"]), (#"{"input":["a","b","a"]}"#, ["a", "b", "a"]),
        (#"{"input":[""]}"#, [""]),
        (#"{"input":"a","model":"lsi-3"}"#, ["a"]),
    ])
    func takesOneTextOrMany(params: String, texts: [String]) throws {
        #expect(Self.error(params) == nil)
        #expect(try EmbeddingParameters(Array(params.utf8)).texts == texts)
    }

    @Test(
        arguments: [
            (nil, "expected {input: string or [string], model?: string}"),
            ("[]", "expected {input: string or [string], model?: string}"),
            ("{}", "input: expected a string, or an array of 1 to 10000 strings"),
            (#"{"input":null}"#, "input: expected a string, or an array of 1 to 10000 strings"),
            (#"{"input":[]}"#, "input: expected a string, or an array of 1 to 10000 strings, found none"),
            (#"{"input":["a",1]}"#, "input[1]: expected a string, found 1"),
            (#"{"input":"a","modle":"x"}"#, "modle: unknown member; did you mean model?"),
            (#"{"input":"a","input":"b"}"#, "input: expected one, found two"),
            (#"{"input":"a","model":1}"#, "model: expected a string, found 1"),
            (
                #"{"input":"a","model":"m"}"#,
                #"model: expected "lsi-3", the model that this worker serves, found "m""#
            ),
        ] as [(String?, String)])
    func saysWhereAParameterIsWrong(params: String?, message: String) {
        #expect(Self.error(params)?.code == .invalidParams)
        #expect(Self.error(params)?.message == "Invalid params: " + message)
    }

    @Test func writesTheShortestTextOfEachFloat() throws {
        var output: [UInt8] = []
        let vectors: [[Float]] = [
            [0.1, -0, 1e-7, 16_777_216], [1, 0.33333334, 3.4028235e38, .leastNonzeroMagnitude],
        ]
        EmbeddingResult(model: "m", vectors: vectors).write(to: &output)
        let text = String(decoding: output, as: UTF8.self)
        #expect(
            text == #"{"model":"m","dimensions":4,"embeddings":[[0.1,0.0,1e-07,16777216.0],"#
                + #"[1.0,0.33333334,3.4028235e+38,1e-45]]}"#)
        let back = try JSONValue(parsing: text)["embeddings"]?.arrayValue?.map { row in
            row.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } }
        }
        #expect(back == vectors)
    }
}

/// A served index whose vectors an endpoint makes.
struct EndpointWorld {
    let served: ServedIndex
    let embedding: WorkerEmbedding

    init(port: UInt16, timeoutMilliseconds: Int64 = 60_000, served: ServedIndex? = nil) throws {
        self.served = try served ?? ServedIndex(published: false)
        var settings = EndpointSettings(
            dialect: .ollama, address: try HTTPAddress("http://127.0.0.1:\(port)"), model: "toy")
        settings.timeoutMilliseconds = timeoutMilliseconds
        self.embedding = .endpoint(EndpointEmbedder(settings), cache: nil)
    }

    func index() async throws {
        var indexer = self.served.indexer
        indexer.embedding = self.embedding
        let made = indexer
        _ = try await onOwnThread { Result { try made.run() } }.get()
    }

    /// Serves some requests, each by itself so that the answers come in their order.
    func serve(_ lines: String...) async throws -> [JSONValue] {
        let service = WorkerService(
            workerID: "worker_test",
            capabilities: WorkerCapabilities(maxConcurrency: 4, endpointModel: self.embedding.endpointModel),
            holder: IndexHolder(directory: self.served.out), embedding: self.embedding)
        var replies: [JSONValue] = []
        for line in lines { replies += try await self.served.serve(Array(line.utf8), service: service) }
        return replies
    }

    /// An Ollama that knows two directions: foxes and everything else.
    static func server() throws -> ScriptedServer {
        try ScriptedServer { request in
            let body = request.split(separator: "\r\n").last.map(String.init) ?? ""
            let texts = (try? JSONValue(parsing: body))?["input"]?.arrayValue ?? []
            let vectors = texts.map { text in
                text.stringValue?.contains("vulpine") == true || text.stringValue?.contains("fox") == true
                    ? [2, 0] : [0, 2] as JSONValue
            }
            return JSONValue.object([.init("embeddings", .array(vectors))]).text
        }
    }

    static func request(_ technique: String, _ query: String) -> String {
        #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"\#(technique)","query":"\#(query)"}}"#
    }
}

@Suite struct EmbeddingCreateTests {
    static let create =
        #"{"jsonrpc":"2.0","id":1,"method":"embedding.create","params":{"input":["red fox","xyzzy"]}}"#
    static let health = #"{"jsonrpc":"2.0","id":2,"method":"health.check"}"#

    @Test func embedsByTheIndexUnlessAnEndpointIsConfigured() async throws {
        let served = try ServedIndex()
        let replies = try await served.serve(Self.create, Self.health)
        let result = try #require(replies.first { $0["id"] == 1 }?["result"])
        let generation = try served.out.open().generation
        #expect(result["model"]?.stringValue == "lsi-1-\(generation)")
        #expect(result["dimensions"] == 1)
        let vectors = try #require(result["embeddings"]?.arrayValue)
        #expect(vectors.count == 2 && vectors[0] != [0.0] && vectors[1] == [0.0])
        let capabilities = replies.first { $0["id"] == 2 }?["result"]?["capabilities"]
        #expect(capabilities?["embedding_model"] == result["model"])
        #expect(capabilities?["methods"]?.arrayValue?.contains("embedding.create") == true)
        #expect(capabilities?["idempotent"]?.arrayValue?.contains("embedding.create") == true)
        #expect(capabilities?["cacheable"] == ["rag.execute"])
    }

    @Test func needsAnIndexForLSI() async throws {
        let replies = try await ServedIndex(published: false).serve(Self.create)
        #expect(replies[0]["error"]?["code"] == 5001)
    }

    @Test func needsAnIndexWithVectorsForLSI() async throws {
        let served = try ServedIndex(published: false)
        var indexer = served.indexer
        indexer.settings.requestedDimensions = 0
        _ = try indexer.run()
        let error = try await served.serve(Self.create)[0]["error"]
        #expect(error?["code"] == 4002 && error?["data"]?["reason"] == "no_vectors_in_index")
    }

    @Test func embedsByAnEndpointAlsoWithoutAnIndex() async throws {
        let server = try EndpointWorld.server()
        let replies = try await EndpointWorld(port: server.port).serve(Self.create, Self.health)
        #expect(
            replies[0]["result"] == [
                "model": "toy", "dimensions": 2, "embeddings": [[2.0, 0.0], [0.0, 2.0]],
            ])
        #expect(replies[1]["result"]?["capabilities"]?["embedding_model"] == "toy")
    }

    @Test func indexesAndSearchesWithTheVectorsOfAnEndpoint() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        try world.served.directory.write("A dog sleeps.", to: "src/b.txt")
        try world.served.directory.write("The red fox jumps.", to: "src/a.txt")
        try await world.index()
        let index = try world.served.out.open()
        #expect(index.embeddingModel == "toy" && index.settings.dimensions == 2)
        let replies = try await world.serve(
            EndpointWorld.request("basic", "vulpine"), EndpointWorld.request("hybrid", "vulpine dog"),
            Self.health)
        let documents = replies[0]["result"]?["retrieved_documents"]?.arrayValue
        // Words in common there are none: only the endpoint knows what is near.
        #expect(documents?.count == 1 && documents?.first?["score"] == 1.0)
        #expect(documents?.first?["content"] == "The red fox jumps.")
        #expect(replies[0]["result"]?["metadata"]?["embedder"] == "toy")
        #expect(replies[1]["result"]?["retrieved_documents"]?.arrayValue?.count == 2)
        #expect(replies[2]["result"]?["status"] == "healthy")
        #expect(server.requests.allSatisfy { $0.hasPrefix("POST /api/embed ") })
    }

    @Test func failsOnlyWhatNeedsAnEndpointThatIsNotThere() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        try await world.index()
        let away = try EndpointWorld(port: ScriptedServer.closedPort, served: world.served)
        let replies = try await away.serve(
            EndpointWorld.request("hybrid", "fox"), EndpointWorld.request("bm25", "fox"), Self.create,
            Self.health)
        for error in [replies[0]["error"], replies[2]["error"]] {
            #expect(error?["code"] == 4002)
            #expect(error?["data"]?["name"] == "MISSING_DEPENDENCIES")
            #expect(error?["data"]?["reason"] == "endpoint_unreachable")
            #expect(
                error?["data"]?["retryable"] == true && error?["data"]?["recovery"] == "FALLBACK_TECHNIQUE")
            #expect(error?["data"]?["url"]?.stringValue?.hasSuffix("/api/embed") == true)
        }
        #expect(replies[1]["result"]?["success"] == true)
        #expect(replies[3]["result"]?["status"] == "degraded")
        #expect(
            replies[3]["result"]?["reasons"]?.arrayValue?.first?.stringValue?.contains("Connection refused")
                == true)
    }

    @Test func learnsFromAHealthCheckThatAnEndpointIsNotThere() async throws {
        let world = try EndpointWorld(port: ScriptedServer.closedPort)
        let health = try await world.serve(Self.health)[0]["result"]
        #expect(health?["status"] == "degraded")
    }

    @Test func gives1002WhenTheDeadlinePassesFirst() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.request()
            connection.waitForEnd()
        }
        let world = try EndpointWorld(port: server.port)
        let line = Self.create.dropLast() + #","metadata":{"deadline_ms":60}}"#
        #expect(try await world.serve(String(line))[0]["error"]?["code"] == 1002)
    }

    @Test func refusesToSearchTheVectorsOfAnotherModel() async throws {
        let server = try EndpointWorld.server()
        let lsi = try EndpointWorld(port: server.port, served: ServedIndex())
        let replies = try await lsi.serve(
            EndpointWorld.request("basic", "fox"), EndpointWorld.request("bm25", "fox"), Self.health)
        let error = replies[0]["error"]
        #expect(error?["code"] == 4002 && error?["data"]?["reason"] == "embedding_model_mismatch")
        #expect(
            error?["message"]?.stringValue?.hasPrefix(
                "The index was made with latent semantic indexing, and this worker embeds with the model toy")
                == true)
        #expect(replies[1]["result"]?["success"] == true)
        #expect(replies[2]["result"]?["status"] == "degraded")
        #expect(replies[2]["result"]?["pipelines_loaded"] == ["bm25"])
        // And the other way round.
        let world = try EndpointWorld(port: server.port)
        try await world.index()
        let other = try await world.served.serve(EndpointWorld.request("basic", "fox"), Self.health)
        #expect(other.first { $0["id"] == 1 }?["error"]?["data"]?["reason"] == "embedding_model_mismatch")
        #expect(other.first { $0["id"] == 2 }?["result"]?["status"] == "degraded")
        #expect(other.first { $0["id"] == 2 }?["result"]?["capabilities"]?["embedding_model"] == nil)
    }

    @Test func refusesVectorsOfAnotherLengthThanThoseOfTheIndex() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        try await world.index()
        let longer = try ScriptedServer(answering: { _ in #"{"embeddings":[[1,2,3]]}"# })
        let error = try await EndpointWorld(port: longer.port, served: world.served)
            .serve(EndpointWorld.request("basic", "fox"))[0]["error"]
        #expect(error?["code"] == 4002 && error?["data"]?["reason"] == "endpoint_unusable")
        #expect(error?["message"]?.stringValue?.contains("of 3 numbers, those of the index have 2") == true)
    }

    @Test func makesTheIndexAnewForAnotherModelAndNotWithoutReason() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        try await world.index()
        let asked = server.requests.count
        try await world.index()
        #expect(server.requests.count == asked)
        guard case .published = try world.served.indexer.run() else {
            Issue.record("LSI must not go on with the vectors of a model")
            return
        }
        #expect(try world.served.out.open().embeddingModel?.hasPrefix("lsi-") == true)
    }

    @Test func saysWhyThereIsNoIndexWhenTheEndpointFails() async throws {
        let world = try EndpointWorld(port: ScriptedServer.closedPort)
        await #expect { try await world.index() } throws: {
            "\($0)".contains("cannot be used: cannot connect")
        }
        #expect(world.served.out.publication() == nil)
    }
}
