import Protocol
import Testing

@testable import Worker

/// `rag.stream`: documents, the answer as it grows, metadata, and the result of `rag.execute`.
@Suite struct StreamTests {
    private static func call(_ method: String, _ options: String = "{}", id: String = "7") -> String {
        #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":{"technique":"bm25","#
            + #""query":"red fox","options":\#(options)}}"#
    }

    /// An index of several files, each of which says something of the fox.
    private static func served() throws -> ServedIndex {
        let served = try ServedIndex(published: false)
        try served.directory.write("The red fox jumps over the brook. A dog sleeps.", to: "src/a.txt")
        try served.directory.write("A fox that is red and old lives in the wood.", to: "src/b.txt")
        try served.directory.write("Foxes, red ones too, sleep by day \"in dens\".", to: "src/c.txt")
        _ = try served.indexer.run()
        return served
    }

    /// What must be the same in both.
    private static func comparable(_ result: JSONValue?) -> [JSONValue?] {
        ["success", "technique", "query", "answer", "retrieved_documents", "citations"].map { result?[$0] }
    }

    @Test func givesDocumentsThenTheAnswerThenMetadataThenTheResult() async throws {
        let served = try Self.served()
        let messages = try await served.serve(Self.call("rag.stream"))
        let chunks = messages.dropLast().compactMap { $0["params"] }
        #expect(chunks.count == messages.count - 1)
        #expect(chunks.allSatisfy { $0["request_id"] == 7 })
        #expect(chunks.map { $0["sequence"] } == chunks.indices.map { .integer($0) })
        #expect(chunks.map { $0["is_final"] == true } == chunks.indices.map { $0 == chunks.count - 1 })
        let kinds = chunks.compactMap { $0["chunk_type"]?.stringValue }
        let order = ["document", "partial_answer", "metadata"]
        #expect(
            kinds.map { order.firstIndex(of: $0) ?? 9 }
                == kinds.map { order.firstIndex(of: $0) ?? 9 }.sorted())
        #expect(kinds.count { $0 == "document" } == 3 && kinds.count { $0 == "partial_answer" } > 1)
        #expect(kinds.count { $0 == "metadata" } == 1)

        let executed = try await served.serve(Self.call("rag.execute"))
        let result = messages.last?["result"]
        #expect(Self.comparable(result) == Self.comparable(executed[0]["result"]))
        let documents = chunks.filter { $0["chunk_type"] == "document" }.compactMap { $0["data"] }
        #expect(result?["retrieved_documents"] == .array(documents))
        let text = chunks.filter { $0["chunk_type"] == "partial_answer" }.compactMap {
            $0["data"]?.stringValue
        }
        #expect(result?["answer"]?.stringValue == text.joined())
        for name in ["citations", "performance", "metadata"] {
            #expect(chunks.last?["data"]?[name] == result?[name], "\(name)")
        }
    }

    @Test func givesOnlyWhatWasAskedFor() async throws {
        let messages = try await Self.served().serve(
            Self.call("rag.stream", #"{"generate":false,"include_documents":false}"#, id: #""an id""#))
        #expect(messages.count == 2)
        #expect(messages[0]["params"]?["request_id"] == "an id")
        #expect(messages[0]["params"]?["is_final"] == true && messages[1]["result"]?["answer"] == .null)
    }

    @Test func saysThatNothingWasFound() async throws {
        let messages = try await Self.served().serve(
            #"{"jsonrpc":"2.0","id":7,"method":"rag.stream","params":{"technique":"bm25","query":"zebra"}}"#)
        let text = messages.compactMap { message in
            message["params"]?["chunk_type"] == "partial_answer"
                ? message["params"]?["data"]?.stringValue : nil
        }
        #expect(text == [ExtractiveAnswer.nothingRelevant])
    }

    @Test func judgesItsParamsBeforeTheFirstChunk() async throws {
        let messages = try await Self.served().serve(
            Self.call("rag.stream", #"{"top_k":0}"#), #"{"jsonrpc":"2.0","id":8,"method":"rag.stream"}"#)
        #expect(messages.map { $0["error"]?["code"] } == [-32602, -32602])
    }

    @Test func stopsBetweenChunksWhenItsCallerGivesUp() throws {
        let served = try Self.served()
        let service = WorkerService(
            workerID: "worker_test", capabilities: WorkerCapabilities(maxConcurrency: 1),
            holder: IndexHolder(directory: served.out))
        let path = served.directory.file("chunks")
        try FileSystem.write([], to: path)
        let file = try FileDescriptor(opening: path, 1 | 0x400)  // O_WRONLY | O_APPEND
        let output = OutputBuffer(descriptor: file.rawValue) {}
        let call = IncomingCall(
            id: [0x37], method: "rag.stream", params: Array(#"{"technique":"bm25","query":"red fox"}"#.utf8),
            requestID: "", wantsMetadata: false, received: .now, deadline: nil, reply: .line(output))
        var asked = 0
        var stream = AnswerStream(id: [0x37], output: output) {
            () throws(RPCError) in
            asked += 1
            if asked > 2 { throw .cancelledMeanwhile }
        }
        var result: [UInt8] = []
        #expect(throws: RPCError.cancelledMeanwhile) {
            _ = try service.stream(
                call, checkpoint: { () throws(RPCError) in }, to: &stream, result: &result)
        }
        #expect(result.isEmpty)
        output.flush()
        #expect(try FileSystem.contents(of: path).split(separator: 0x0A).count == 2)
        extendLifetime(file)
    }

    @Test func growsItsAnswerInPieces() async throws {
        let replies = try await Self.served().serve(Self.call("rag.execute"))
        let answer = try #require(replies[0]["result"]?["answer"]?.stringValue)
        #expect(answer.contains(" [1] ") && answer.hasSuffix("]"))
    }
}
