import Protocol

extension WorkerService {
    /// Answers `rag.stream`: every document as soon as all are found, the answer as it grows, and appends the same
    /// result as `rag.execute` has.
    ///
    /// - Returns: the data of the final chunk, for when the result is known to be one that can be sent.
    func stream(
        _ call: IncomingCall, checkpoint: () throws(RPCError) -> Void, to stream: inout AnswerStream,
        result output: inout [UInt8]
    ) throws(RPCError) -> [UInt8] {
        let result = try self.answer(call, checkpoint: checkpoint) {
            (parameters: ExecuteParameters, chunks: [RetrievedChunk]) throws(RPCError) in
            for chunk in parameters.includeDocuments ? chunks : [] {
                var document: [UInt8] = []
                chunk.write(scoreType: parameters.technique.scoreType, to: &document)
                try stream.send(.document, document)
            }
            stream.flush()
        }
        for part in result.answer?.parts ?? [] {
            try stream.send(.partialAnswer, JSONValue.string(part).bytes)
        }
        let timestamp = Timestamp.text(millisecondsSince1970: WallClock.milliseconds)
        result.write(workerID: self.workerID, timestamp: timestamp, to: &output)
        var summary: [UInt8] = []
        result.writeSummary(workerID: self.workerID, timestamp: timestamp, to: &summary)
        return summary
    }
}
