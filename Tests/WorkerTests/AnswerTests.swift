import Protocol
import Testing

@testable import Worker

@Suite struct ExtractiveAnswerTests {
    static let markdown = """
        # Operations

        ## Restart

        A worker that crashes is restarted after 100 ms. Each further failed
        start doubles the wait.

        - A crashed worker is started again after 100 ms.
        - Press the red button.

        | key | value |
        |---|---|
        | restart | on |
        """

    static func result(
        _ query: String, technique: String = "bm25", options: JSONValue = [:]
    ) throws -> (JSONValue, SmallIndex) {
        let document = MarkdownDocument.document(source: "docs/ops.md", bytes: Array(markdown.utf8))
        let small = try SmallIndex([document])
        let parameters = try ExecuteParameters([
            "technique": .string(technique), "query": .string(query), "options": options,
        ])
        let result = try QuestionAnswering(parameters: parameters, index: small.index).run(since: .now) {}
        var bytes: [UInt8] = []
        result.write(workerID: "w", timestamp: "t", to: &bytes)
        return (try JSONValue(parsing: bytes), small)
    }

    @Test func quotesTheFileByteForByte() throws {
        for query in ["How is a crashed worker restarted?", "failed start doubles", "red button"] {
            let (result, _) = try Self.result(query)
            let citations = try #require(result["citations"]?.arrayValue)
            #expect(!citations.isEmpty)
            for (number, citation) in citations.enumerated() {
                let start = Int(try #require(citation["span"]?["start"]?.integerValue))
                let end = Int(try #require(citation["span"]?["end"]?.integerValue))
                let quote = try #require(citation["quote"]?.stringValue)
                #expect(Array(Self.markdown.utf8)[start..<end].elementsEqual(quote.utf8))
                #expect(citation["n"]?.integerValue == Int64(number + 1))
                #expect(result["answer"]?.stringValue?.contains("[\(number + 1)]") == true)
            }
        }
    }

    @Test func answersWithTheBestSentence() throws {
        let (result, _) = try Self.result("How is a crashed worker restarted?")
        let answer = try #require(result["answer"]?.stringValue)
        #expect(answer.hasPrefix("A worker that crashes is restarted after 100 ms. [1]"))
    }

    @Test func writesALineBreakInASentenceAsASpace() throws {
        let (result, _) = try Self.result("failed start doubles the wait")
        #expect(
            result["answer"]?.stringValue?.contains("Each further failed start doubles the wait. [") == true)
        #expect(
            result["citations"]?.arrayValue?.contains {
                $0["quote"]?.stringValue?.contains("failed\nstart") == true
            } == true)
    }

    @Test(arguments: ["unobtainium xyzzy", "the of and", "What is the capital of Mongolia?"])
    func saysWhenNothingIsRelevant(query: String) throws {
        for technique in Technique.names {
            let (result, _) = try Self.result(query, technique: technique)
            #expect(result["success"] == true)
            #expect(result["answer"]?.stringValue == ExtractiveAnswer.nothingRelevant)
            #expect(result["citations"] == [])
        }
    }

    @Test func keepsToTheWordsAllowed() throws {
        let (result, _) = try Self.result("How is a crashed worker restarted?", options: ["max_tokens": 4])
        #expect(result["answer"] == "A worker that crashes [1]")
        #expect(result["citations"]?.arrayValue?.first?["quote"] == "A worker that crashes")
    }

    @Test func leavesOutWhatIsNotWanted() throws {
        let (result, _) = try Self.result(
            "restart", options: ["generate": false, "include_documents": false, "min_score": 0])
        #expect(result["answer"] == .null)
        #expect(result["citations"] == [])
        #expect(result["retrieved_documents"] == [])
        #expect(result["metadata"]?["num_retrieved"]?.integerValue ?? 0 > 0)
        let (none, _) = try Self.result("restart", options: ["min_score": 1000])
        #expect(none["metadata"]?["num_retrieved"] == 0)
        #expect(none["answer"]?.stringValue == ExtractiveAnswer.nothingRelevant)
    }

    @Test func givesEveryMemberOfTheContract() throws {
        let (result, small) = try Self.result(
            "restart worker", technique: "hybrid", options: ["explain": true])
        #expect(
            result.objectValue?.map(\.name) == [
                "success", "technique", "query", "answer", "retrieved_documents", "citations", "performance",
                "metadata",
            ])
        let document = try #require(result["retrieved_documents"]?.arrayValue?.first)
        #expect(
            document.objectValue?.map(\.name) == [
                "id", "document_id", "chunk_index", "source", "title", "content", "score", "score_type",
                "rank",
                "metadata",
            ])
        #expect(document["source"] == "docs/ops.md")
        #expect(document["score_type"] == "rrf")
        #expect(document["rank"] == 1)
        #expect(
            Set((result["performance"]?.objectValue ?? []).map(\.name)) == [
                "total_time_ms", "retrieval_time_ms", "generation_time_ms",
            ])
        let metadata = try #require(result["metadata"])
        #expect(metadata["index_generation"]?.stringValue == small.index.generation)
        #expect(metadata["embedder"]?.stringValue == small.index.embeddingModel)
        #expect(metadata["generator"] == "extractive")
        #expect(metadata["explain"]?["k"] == 60.0)
    }

    @Test func takesTheFirstSentenceUnderAHeadingThatAsksTheSame() throws {
        let text =
            "# Tool\n\n## Installation\n\nRun `make` in the folder that you unpacked. It takes a minute.\n\n## Use\n\nType it."
        let small = try SmallIndex([MarkdownDocument.document(source: "a.md", bytes: Array(text.utf8))])
        let parameters = try ExecuteParameters(["technique": "bm25", "query": "How do I install it?"])
        let result = try QuestionAnswering(parameters: parameters, index: small.index).run(since: .now) {}
        #expect(result.answer?.text == "Run `make` in the folder that you unpacked. [1]")
    }

    @Test func doesNotRepeatItself() throws {
        let small = try SmallIndex(texts: [
            "The red fox jumps over the fence.", "A red fox jumps over the fence!",
            "The red fox jumps over the fence.",
        ])
        let parameters = try ExecuteParameters(["technique": "bm25", "query": "red fox"])
        let result = try QuestionAnswering(parameters: parameters, index: small.index).run(since: .now) {}
        #expect(result.answer?.citations.count == 1)
        #expect(result.chunks.count == 3)
    }
}
