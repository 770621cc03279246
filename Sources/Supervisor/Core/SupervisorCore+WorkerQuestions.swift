import Protocol

/// What workers ask of the supervisor: `embedding_cache.get`, and `embedding_cache.put` asked or told (protocol §5).
extension SupervisorCore {
    /// Of answers that a worker has not read. One that asks and does not read gets no more.
    private static let unreadAnswers = 16 << 20

    /// Whether a message uses the cache of embeddings, which a preparing process may, too.
    func isAboutEmbeddings(_ message: WorkerMessage, _ line: UnsafeRawBufferPointer) -> Bool {
        switch message {
        case .request(let envelope), .notification(let envelope):
            return line[envelope.method].starts(with: "embedding_cache.".utf8)
        case .result, .error, .unreadable, .foreign, .noise:
            return false
        }
    }

    mutating func workerAsked(
        _ request: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        guard let id = request.id.map({ UnsafeRawBufferPointer(rebasing: line[$0]) }) else { return }
        let unread = effects.inputBacklog(of: worker)
        guard unread <= Self.unreadAnswers else {
            return self.log(
                .warning, "worker.question_dropped", of: worker, ["unread_bytes": .integer(unread)], &effects)
        }
        do throws(RPCError) {
            let result: [UInt8]
            switch JSONScanner.unescaped(line, request.method) {
            case "embedding_cache.get": result = try self.getEmbeddings(request, line, worker)
            case "embedding_cache.put":
                let stored = try self.putEmbeddings(request, line, worker, &effects)
                let value: JSONValue = ["stored": .integer(stored)]
                result = value.bytes
            // What the supervisor does not know it says so, so that the worker does not wait.
            case let method: throw .methodNotFound(method)
            }
            self.reply(result, isError: false, id: id, to: worker, &effects)
        } catch {
            self.reply(error.value(requestID: nil).bytes, isError: true, id: id, to: worker, &effects)
        }
    }

    private func reply(
        _ payload: [UInt8], isError: Bool, id: UnsafeRawBufferPointer, to worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        payload.withUnsafeBytes {
            let none = UnsafeRawBufferPointer(start: nil, count: 0)
            effects.send(to: worker, AnswerMessage(id: id, isError: isError, payload: $0, metadata: none))
        }
    }

    /// Vectors that a worker tells; what is wrong with them is logged, since nobody waits for an answer.
    mutating func workerPutEmbeddings(
        _ notification: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) {
        do throws(RPCError) {
            _ = try self.putEmbeddings(notification, line, worker, &effects)
        } catch {
            self.logRefusedEmbeddings(error.message, worker, &effects)
        }
    }

    private mutating func logRefusedEmbeddings(
        _ words: String, _ worker: WorkerToken, _ effects: inout some SupervisorEffects
    ) {
        self.log(.warning, "cache.embedding_refused", of: worker, ["error": .string(words)], &effects)
    }

    private func message(
        _ envelope: RequestEnvelope, _ line: UnsafeRawBufferPointer, isPut: Bool
    ) throws(RPCError) -> (EmbeddingCacheMessage, UnsafeRawBufferPointer) {
        let params = envelope.params.map { UnsafeRawBufferPointer(rebasing: line[$0]) }
        let message = try EmbeddingCacheMessage(params: params, isPut: isPut)
        guard message.texts.count <= EmbeddingQuestion.maximumTexts, let params else {
            throw .invalidParams("texts", "expected at most \(EmbeddingQuestion.maximumTexts) texts at once")
        }
        return (message, params)
    }

    /// `{embeddings: [base64 or null]}`. What would make the answer larger than a message may be is not given.
    private mutating func getEmbeddings(
        _ request: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken
    ) throws(RPCError) -> [UInt8] {
        let (message, params) = try self.message(request, line, isPut: false)
        let scope = self.scope(self.workers[worker].pool, message.model, uid: nil)
        // What is left when every text that is still to come gets a null.
        let room = self.limits.messages.messageBytes - 1024 - message.texts.count * "null,".utf8.count
        var output: [UInt8] = []
        MessageWriter.append("{\"embeddings\":[", to: &output)
        for (index, text) in message.texts.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            self.head.removeAll(keepingCapacity: true)
            let bytes = JSONScanner.unescapedUTF8(params, text)
            let isFound = self.embeddings.appendVector(of: bytes, scope, at: self.now, to: &self.head)
            if isFound, output.count + Base64.encodedCount(self.head.count) < room {
                output.append(UInt8(ascii: "\""))
                self.head.withUnsafeBytes { Base64.append($0, to: &output) }
                output.append(UInt8(ascii: "\""))
            } else {
                MessageWriter.append("null", to: &output)
            }
        }
        MessageWriter.append("]}", to: &output)
        return output
    }

    /// - Returns: how many vectors were stored.
    private mutating func putEmbeddings(
        _ request: RequestEnvelope, _ line: UnsafeRawBufferPointer, _ worker: WorkerToken,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) -> Int {
        let (message, params) = try self.message(request, line, isPut: true)
        guard let scope = self.scope(self.workers[worker].pool, message.model, uid: nil) else {
            throw .invalidParams("model", "expected a name of at most 1024 bytes")
        }
        var stored = 0
        var faults: [String] = []
        for (index, text) in message.texts.enumerated() {
            let value = message.embeddings[index]
            // None for this text: as `get` says it.
            if params[value.lowerBound] == UInt8(ascii: "n") { continue }
            self.head.removeAll(keepingCapacity: true)
            do throws(EmbeddingReply.Fault) {
                try EmbeddingCacheMessage.appendVector(value, in: params, to: &self.head)
                let dimensions = self.head.count / MemoryLayout<Float>.size
                guard self.embeddings.accepts(dimensions: dimensions, scope) else {
                    let known = self.embeddings.dimensions(of: scope) ?? 0
                    throw .init(words: "has \(dimensions) numbers, where the model's vectors have \(known)")
                }
                let bytes = JSONScanner.unescapedUTF8(params, text)
                self.head.withUnsafeBytes { self.embeddings.put($0, of: bytes, scope, at: self.now) }
                stored += 1
            } catch {
                faults.append("embeddings[\(index)] \(error.words)")
            }
        }
        if stored > 0 { self.saveEmbeddingsLater() }
        if let first = faults.first {
            let others = faults.count > 1 ? " (and \(faults.count - 1) more)" : ""
            self.logRefusedEmbeddings(first + others, worker, &effects)
        }
        return stored
    }
}
