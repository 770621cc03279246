import Protocol

/// The result of `rag.execute`, written as JSON straight into the answer's bytes.
struct ExecuteResult {
    var parameters: ExecuteParameters
    var chunks: [RetrievedChunk]
    /// nil when none was asked for.
    var answer: ExtractiveAnswer?
    var degraded: [String]
    /// The pipeline that was asked for; nil: a technique was.
    var pipelineID: String?
    var index: SearchIndex
    /// How the query was read; nil unless asked for.
    var explanation: JSONValue?
    var retrievalMilliseconds = 0.0
    var generationMilliseconds = 0.0
    var totalMilliseconds = 0.0

    /// - Parameters:
    ///   - workerID: who answers.
    ///   - timestamp: when, RFC 3339.
    func write(workerID: String, timestamp: String, to output: inout [UInt8]) {
        var object = ObjectWriter(&output)
        object.add("success", .bool(true), to: &output)
        object.add("technique", .string(self.parameters.technique.rawValue), to: &output)
        object.add("query", .string(self.parameters.query), to: &output)
        object.add("answer", .string(self.answer?.text), to: &output)
        object.addName("retrieved_documents", to: &output)
        self.writeDocuments(to: &output)
        object.addName("citations", to: &output)
        self.writeCitations(to: &output)
        object.add("performance", self.performance, to: &output)
        object.add("metadata", self.metadata(workerID: workerID, timestamp: timestamp), to: &output)
        object.close(&output)
    }

    private func writeDocuments(to output: inout [UInt8]) {
        output.append(UInt8(ascii: "["))
        for (position, chunk) in (self.parameters.includeDocuments ? self.chunks : []).enumerated() {
            if position > 0 { output.append(UInt8(ascii: ",")) }
            chunk.write(scoreType: self.parameters.technique.scoreType, to: &output)
        }
        output.append(UInt8(ascii: "]"))
    }

    /// What the result says besides the documents and the text: the end of a stream.
    func writeSummary(workerID: String, timestamp: String, to output: inout [UInt8]) {
        var object = ObjectWriter(&output)
        object.addName("citations", to: &output)
        self.writeCitations(to: &output)
        object.add("performance", self.performance, to: &output)
        object.add("metadata", self.metadata(workerID: workerID, timestamp: timestamp), to: &output)
        object.close(&output)
    }

    private func writeCitations(to output: inout [UInt8]) {
        output.append(UInt8(ascii: "["))
        for (position, citation) in (self.answer?.citations ?? []).enumerated() {
            if position > 0 { output.append(UInt8(ascii: ",")) }
            let chunk = self.chunks[citation.chunk]
            let span: JSONValue = [
                "start": .integer(chunk.start + citation.range.lowerBound),
                "end": .integer(chunk.start + citation.range.upperBound),
            ]
            var object = ObjectWriter(&output)
            object.add("n", .integer(citation.number), to: &output)
            object.add("document_id", .string(chunk.documentID), to: &output)
            object.add("chunk_index", .integer(chunk.chunkIndex), to: &output)
            object.add("source", .string(chunk.source), to: &output)
            object.add("span", span, to: &output)
            object.addName("quote", to: &output)
            chunk.content[citation.range].withUnsafeBytes { JSONText.append(utf8: $0, to: &output) }
            object.close(&output)
        }
        output.append(UInt8(ascii: "]"))
    }

    private var performance: JSONValue {
        [
            "total_time_ms": .milliseconds(self.totalMilliseconds),
            "retrieval_time_ms": .milliseconds(self.retrievalMilliseconds),
            "generation_time_ms": .milliseconds(self.generationMilliseconds),
        ]
    }

    private func metadata(workerID: String, timestamp: String) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("worker_id", .string(workerID)), .init("timestamp", .string(timestamp)),
            .init("generator", .string(self.answer == nil ? "none" : ExtractiveAnswer.generator)),
        ]
        if let pipelineID = self.pipelineID { members.append(.init("pipeline_id", .string(pipelineID))) }
        if self.parameters.technique.usesVectors, let embedder = self.index.embeddingModel {
            members.append(.init("embedder", .string(embedder)))
        }
        members += [
            .init("index_generation", .string(self.index.generation)),
            .init("num_retrieved", .integer(self.chunks.count)),
            .init("degraded", .array(self.degraded.map { .string($0) })),
        ]
        if let explanation = self.explanation { members.append(.init("explain", explanation)) }
        return .object(members)
    }
}

extension RetrievedChunk {
    /// One of `retrieved_documents`.
    func write(scoreType: String, to output: inout [UInt8]) {
        var object = ObjectWriter(&output)
        object.add("id", .string(self.id), to: &output)
        object.add("document_id", .string(self.documentID), to: &output)
        object.add("chunk_index", .integer(self.chunkIndex), to: &output)
        object.add("source", .string(self.source), to: &output)
        if !self.title.isEmpty { object.add("title", .string(self.title), to: &output) }
        object.addName("content", to: &output)
        self.content.withUnsafeBytes { JSONText.append(utf8: $0, to: &output) }
        object.addName("score", to: &output)
        output.append(contentsOf: self.hit.score.description.utf8)
        object.add("score_type", .string(scoreType), to: &output)
        object.add("rank", .integer(self.rank), to: &output)
        object.add("metadata", .object(self.metadata), to: &output)
        object.close(&output)
    }
}

/// Writes the members of an object one by one, with commas between them.
struct ObjectWriter {
    private var isEmpty = true

    init(_ output: inout [UInt8]) { output.append(UInt8(ascii: "{")) }

    /// Appends a name; its value is to follow.
    mutating func addName(_ name: StaticString, to output: inout [UInt8]) {
        if !self.isEmpty { output.append(UInt8(ascii: ",")) }
        self.isEmpty = false
        output.append(UInt8(ascii: "\""))
        MessageWriter.append(name, to: &output)
        output.append(UInt8(ascii: "\""))
        output.append(UInt8(ascii: ":"))
    }

    mutating func add(_ name: StaticString, _ value: JSONValue, to output: inout [UInt8]) {
        self.addName(name, to: &output)
        value.write(to: &output)
    }

    func close(_ output: inout [UInt8]) { output.append(UInt8(ascii: "}")) }
}

extension JSONValue {
    /// Milliseconds to the microsecond.
    static func milliseconds(_ value: Double) -> JSONValue { .double((value * 1000).rounded() / 1000) }
}
