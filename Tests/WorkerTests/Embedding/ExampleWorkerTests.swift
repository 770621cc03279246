import Glibc
import Protocol
import Testing

@testable import Worker

/// `config/workers/embedding_worker.py`, fed with all that it is to hear: a supervisor's answers can be foretold.
@Suite struct ExampleWorkerTests {
    static func run(_ lines: [String], supervised: Bool) async throws -> [JSONValue] {
        let directory = try TemporaryDirectory()
        let input = try directory.write(lines.joined(separator: "\n") + "\n", to: "in")
        let output = directory.file("out")
        let package = "/" + #filePath.split(separator: "/").dropLast(4).joined(separator: "/")
        let instance = supervised ? "SUPERVISOR_INSTANCE=x" : "-u SUPERVISOR_INSTANCE"
        let command =
            "env \(instance) timeout 60 python3 \(package)/config/workers/embedding_worker.py < \(input) > \(output)"
        let status = await onOwnThread { system(command) }
        try #require(status == 0)
        return try FileSystem.contents(of: output).split(separator: 0x0A).map {
            try JSONValue(parsing: Array($0))
        }
    }

    static let nearest =
        #"{"jsonrpc":"2.0","id":1,"method":"nearest","params":{"query":"red fox","texts":["the sea","a red fox"]}}"#

    @Test func embedsWithoutASupervisor() async throws {
        let replies = try await Self.run(
            [
                Self.nearest,
                #"{"jsonrpc":"2.0","id":2,"method":"embedding.create","params":{"input":["a","a b"]}}"#,
                #"{"jsonrpc":"2.0","id":3,"method":"embedding.create","params":{}}"#,
                #"{"jsonrpc":"2.0","id":4,"method":"health.check"}"#,
            ], supervised: false)
        #expect(replies.map { $0["id"] } == [1, 2, 3, 4])
        #expect(replies[0]["result"] == "a red fox")
        let vectors = replies[1]["result"]?["embeddings"]?.arrayValue ?? []
        #expect(
            vectors.map { $0.arrayValue?.count } == [64, 64] && replies[1]["result"]?["dimensions"] == 64)
        #expect(replies[2]["error"]?["code"] == -32602)
        #expect(replies[3]["result"]?["capabilities"]?["embedding_model"] == replies[1]["result"]?["model"])
    }

    @Test func keepsTheVectorsOfItsQueriesInTheSupervisorsCache() async throws {
        let kept = FakeSupervisor.text(of: [Float](repeating: 9, count: 64))
        let answer = #"{"jsonrpc":"2.0","id":"w1","result":{"embeddings":[null,"\#(kept)",null]}}"#
        let written = try await Self.run(
            [Self.nearest, #"{"jsonrpc":"2.0","id":2,"method":"health.check"}"#, answer], supervised: true)
        try #require(written.count == 4)
        #expect(written[0]["id"] == "w1" && written[0]["method"] == "embedding_cache.get")
        #expect(written[0]["params"]?["texts"] == ["red fox", "the sea", "a red fox"])
        #expect(written[1]["id"] == nil && written[1]["method"] == "embedding_cache.put")
        #expect(written[1]["params"]?["texts"] == ["red fox", "a red fox"])
        let put = written[1]["params"]?["embeddings"]?.arrayValue?.compactMap { $0.stringValue } ?? []
        #expect(put.compactMap { VectorText.vector($0)?.count } == [64, 64])
        // What came in between is answered, in its turn.
        #expect(written[2]["id"] == 1 && written[3]["id"] == 2)
        #expect(written[3]["result"]?["status"] == "healthy")
    }
}
