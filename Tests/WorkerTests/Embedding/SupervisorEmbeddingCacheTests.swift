import Protocol
import Testing

@testable import Worker

@Suite struct SupervisorEmbeddingCacheTests {
    static func cache(
        _ supervisor: FakeSupervisor, warnings: Locked<[String]> = Locked([]), patience: Int64 = 60_000
    ) -> SupervisorEmbeddingCache {
        SupervisorEmbeddingCache(supervisor.calls, patienceMilliseconds: patience) { warning in
            warnings.withLock { $0.append(warning) }
        }
    }

    static func embed(
        _ texts: [String], _ embedder: EndpointEmbedder, _ cache: SupervisorEmbeddingCache,
        dimensions: Int? = nil
    ) async -> Result<[[Float]], EmbeddingFailure> {
        await onOwnThread {
            Result { () throws(EmbeddingFailure) in
                try WorkerEmbedding.embed(
                    texts, by: embedder, cache, dimensions: dimensions, isCancelled: { false })
            }
        }
    }

    @Test func embedsOnlyWhatIsMissingAndHasItKept() async throws {
        let server = try EndpointEmbedderTests.countingServer()
        let supervisor = try FakeSupervisor.caching(["b": [7, 8]])
        let result = await Self.embed(
            ["a", "b", "cc"], try EndpointEmbedderTests.embedder(server), Self.cache(supervisor))
        #expect(try result.get() == [[1, 2], [7, 8], [2, 2]])
        #expect(
            server.requests.count == 1 && server.requests[0].hasSuffix(#"{"model":"m","input":["a","cc"]}"#))
        let heard = await supervisor.finish()
        #expect(
            heard == [
                [
                    "jsonrpc": "2.0", "id": "w1", "method": "embedding_cache.get",
                    "params": ["model": "m", "texts": ["a", "b", "cc"]],
                ],
                [
                    "jsonrpc": "2.0", "method": "embedding_cache.put",
                    "params": [
                        "model": "m", "texts": ["a", "cc"],
                        "embeddings": [
                            .string(FakeSupervisor.text(of: [1, 2])),
                            .string(FakeSupervisor.text(of: [2, 2])),
                        ],
                    ],
                ],
            ])
    }

    @Test func doesNotCallTheEndpointWhenEverythingIsThere() async throws {
        let server = try EndpointEmbedderTests.countingServer()
        let supervisor = try FakeSupervisor.caching(["b": [7, 8]])
        let result = await Self.embed(
            ["b", "b"], try EndpointEmbedderTests.embedder(server), Self.cache(supervisor))
        #expect(try result.get() == [[7, 8], [7, 8]])
        #expect(server.requests.isEmpty)
        #expect(await supervisor.finish().count == 1)
    }

    @Test(arguments: [
        #""result":{"embeddings":[]}"#, #""result":{"embeddings":["AAAAAA==","AAAAAA=="]}"#, #""result":7"#,
        #""result":{"embeddings":["AACAPwAAAMA"]}"#, #""result":{"embeddings":["AADAfwAAAMA="]}"#,
        #""result":{"embeddings":["AAAAAA=="]}"#, #""result":{"embeddings":[[1,2]]}"#,
    ])
    func embedsTheTextWhenTheAnswerIsOfNoUse(answer: String) async throws {
        let server = try EndpointEmbedderTests.countingServer()
        let supervisor = try FakeSupervisor { _ in answer }
        let warnings = Locked<[String]>([])
        let result = await Self.embed(
            ["a"], try EndpointEmbedderTests.embedder(server), Self.cache(supervisor, warnings: warnings),
            dimensions: 2)
        #expect(try result.get() == [[1, 1]])
        #expect(warnings.withLock { $0.count } == 1)
    }

    @Test func stopsAskingASupervisorThatKnowsNoSuchMethod() async throws {
        let server = try EndpointEmbedderTests.countingServer()
        let supervisor = try FakeSupervisor { _ in #""error":{"code":-32601,"message":"Method not found"}"# }
        let embedder = try EndpointEmbedderTests.embedder(server)
        let cache = Self.cache(supervisor)
        for _ in 0..<3 { #expect(try await Self.embed(["a"], embedder, cache).get() == [[1, 1]]) }
        #expect(await supervisor.finish().count == 1)
    }

    @Test func asksLessWhenNobodyAnswers() async throws {
        let server = try EndpointEmbedderTests.countingServer()
        let supervisor = try FakeSupervisor { _ in nil }
        let embedder = try EndpointEmbedderTests.embedder(server)
        let cache = Self.cache(supervisor, patience: 1)
        for _ in 0..<6 { #expect(try await Self.embed(["a"], embedder, cache).get() == [[1, 1]]) }
        // No `put` either: who does not answer is not told.
        #expect(await supervisor.finish().count == SupervisorEmbeddingCache.unansweredLimit)
    }

    @Test func splitsTextsSoThatEveryMessageIsFarFromTheLimit() {
        let half = String(repeating: "x", count: SupervisorEmbeddingCache.textBytes / 2)
        let groups = SupervisorEmbeddingCache.groups(
            of: [half, half, "a", half + half + "x", "b"], dimensions: 1)
        #expect(groups == [0..<2, 2..<3, 4..<5])
        let many = SupervisorEmbeddingCache.groups(
            of: [String](repeating: "", count: 1_000), dimensions: 4_096)
        #expect(many.map(\.count).reduce(0, +) == 1_000)
        let longest = many.map(\.count).max() ?? 0
        #expect(longest * VectorText.length(dimensions: 4_096) <= SupervisorEmbeddingCache.vectorBytes)
        #expect(SupervisorEmbeddingCache.groups(of: [], dimensions: nil).isEmpty)
    }
}
