import Protocol

/// `embedding.create`: each text is looked up, and a worker is asked once for those that were not found.
///
///     the caller's call          → question → plan: hits, and a call for the misses
///     nothing missing            → answered in the same tick
///     something missing          → waits for the flight that asks for it, as others may who miss the same
///     the worker's answer        → stored text by text; each caller gets his hits and the rest, in his order
///     it names another model     → hits of the old one must not stand beside it: asks anew, for all its texts
extension SupervisorCore {
    /// Vectors found, and what is to be asked of a worker for the rest.
    private struct Draft {
        let plan: EmbeddingPlan
        let fetch: EmbeddingFetch
        /// What the worker gets.
        let params: [UInt8]
    }

    mutating func acceptEmbedding(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ pool: Int,
        _ effects: inout some SupervisorEffects
    ) {
        do throws(RPCError) {
            let question = try EmbeddingQuestion(params: incoming.params)
            guard let params = incoming.params else { preconditionFailure("a question of no params") }
            let uid =
                metadata.cacheScope == .private
                ? self.connections[incoming.caller.connection].peer.uid : nil
            let draft = try self.draft(question, params, pool, uid: uid, use: metadata.cache)
            if draft.fetch.count == 0 {
                let result = try self.vectors(for: draft.plan, model: draft.plan.model, [], dimensions: 0)
                return result.withUnsafeBytes { self.answer(incoming, stored: $0, .hit, &effects) }
            }
            try self.askWorker(draft, incoming, metadata, pool, &effects)
        } catch {
            self.refuse(incoming, error, &effects)
        }
    }

    private mutating func askWorker(
        _ draft: Draft, _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ pool: Int,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let method = MethodTable.Index.embeddingCreate
        let isShared = metadata.cache == .use
        self.makeFlightKey(draft, pool, isShared: isShared)
        if isShared, self.join(incoming, metadata, method, pool, draft.plan) { return }
        guard !self.pools[pool].isHopeless else {
            throw self.noHealthyWorker(pool, incoming.caller.connection)
        }
        let worker = self.idleWorker(in: pool, isNotification: false, &effects)
        guard self.hasRoom(in: pool, with: worker) else { throw self.overloaded(pool) }
        let waiter = self.register(
            incoming, metadata, method, pool: pool, timeout: self.methods.timeout(of: method),
            .waiter(draft.plan))
        let call = draft.params.withUnsafeBytes { self.beginFlight(for: waiter, params: $0, draft.fetch) }
        self.join(waiter, to: call, metadata.cache == .bypass ? .bypass : .miss, acceptsStale: false)
        self.start(call, on: worker, &effects)
    }

    /// Equal questions of the same user, for what the cache lacks, share one call.
    ///
    /// - Parameter isShared: otherwise the key is one that nobody else has.
    private mutating func makeFlightKey(_ draft: Draft, _ pool: Int, isShared: Bool) {
        self.flightKey.removeAll()
        self.flightKey.append(bytesOf: self.pools[pool].generation)
        guard isShared, draft.params.count <= ResponseCache.paramsLimit else {
            self.flightKey.append(bytesOf: UInt8(3))
            self.embeddingsAlone += 1
            return self.flightKey.append(bytesOf: self.embeddingsAlone)
        }
        self.flightKey.append(bytesOf: UInt8(2))
        self.flightKey.append(bytesOf: draft.fetch.generation ?? 0)
        self.flightKey.append(bytesOf: draft.fetch.uid.map(UInt64.init) ?? .max)
        draft.params.withUnsafeBytes { self.flightKey.append($0) }
    }

    // MARK: Planning

    func scope(_ pool: Int, _ model: [UInt8], uid: UInt32?) -> EmbeddingCache.Scope? {
        let isShared = self.configuration.cache.sharedModels.contains { model.elementsEqual($0.utf8) }
        let name = isShared ? nil : self.pools[pool].configuration.name
        return EmbeddingCache.Scope(pool: name, model: model, uid: uid)
    }

    /// - Throws: when what is found would not even fit into an answer.
    private mutating func draft(
        _ question: EmbeddingQuestion, _ params: UnsafeRawBufferPointer, _ pool: Int, uid: UInt32?,
        use: RequestMetadata.CacheUse
    ) throws(RPCError) -> Draft {
        let named = question.model.map { JSONScanner.unescapedUTF8(params, $0) }
        let model = named ?? self.pools[pool].embeddingModel?.name
        let scope = use == .use ? model.flatMap { self.scope(pool, $0, uid: uid) } : nil
        var places: [Int32] = []
        var hits: [UInt8] = []
        var hitCount: Int32 = 0
        var missing: [Range<Int>] = []
        var known: [[UInt8]: Int32] = [:]
        for text in question.texts {
            let bytes = JSONScanner.unescapedUTF8(params, text)
            if let place = known[bytes] {
                places.append(place)
                continue
            }
            let place: Int32
            if use == .use, self.embeddings.appendVector(of: bytes, scope, at: self.now, to: &hits) {
                place = hitCount
                hitCount += 1
                try self.checkSize(hits.count)
            } else {
                place = ~Int32(missing.count)
                missing.append(text)
            }
            places.append(place)
            known[bytes] = place
        }
        return Draft(
            plan: EmbeddingPlan(
                model: model, places: places, hits: hits, hitCount: Int(hitCount), uid: uid),
            fetch: EmbeddingFetch(
                model: model, isOfPool: named == nil, count: missing.count, uid: uid,
                generation: use == .bypass ? nil : self.embeddings.generation),
            params: Self.params(texts: missing, of: params, model: model))
    }

    private static func params(
        texts: [Range<Int>], of params: UnsafeRawBufferPointer, model: [UInt8]?
    ) -> [UInt8] {
        var output: [UInt8] = []
        MessageWriter.append("{\"input\":[", to: &output)
        for (index, text) in texts.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: params[text.lowerBound - 1..<text.upperBound + 1])
        }
        output.append(UInt8(ascii: "]"))
        if let model {
            MessageWriter.append(",\"model\":", to: &output)
            model.withUnsafeBytes { JSONText.append(utf8: $0, to: &output) }
        }
        output.append(UInt8(ascii: "}"))
        return output
    }

    private func checkSize(_ bytes: Int) throws(RPCError) {
        let limit = self.limits.messages.messageBytes
        guard bytes > limit else { return }
        throw RPCError(
            .resourceExhausted, reason: "memory",
            "The embeddings take more than the \(limit) bytes of a message: ask for fewer texts in one call")
    }

    // MARK: Answering

    /// The result of one caller: `{model, dimensions, embeddings}`.
    ///
    /// - Parameters:
    ///   - numbers: the vectors that a worker was asked for, one behind the other.
    ///   - dimensions: numbers of each of those.
    private func vectors(
        for plan: EmbeddingPlan, model: [UInt8]?, _ numbers: [Float], dimensions: Int
    ) throws(RPCError) -> [UInt8] {
        let length = plan.hitCount == 0 ? dimensions : plan.hitDimensions
        var output: [UInt8] = []
        MessageWriter.append("{\"model\":", to: &output)
        if let model {
            model.withUnsafeBytes { JSONText.append(utf8: $0, to: &output) }
        } else {
            MessageWriter.append("null", to: &output)
        }
        MessageWriter.append(",\"dimensions\":", to: &output)
        JSONText.append(integer: Int64(length), to: &output)
        MessageWriter.append(",\"embeddings\":[", to: &output)
        let size = length * MemoryLayout<Float>.size
        for (index, place) in plan.places.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            if place < 0 {
                numbers.withUnsafeBytes { Self.append($0, at: Int(~place) * size, size, to: &output) }
            } else {
                plan.hits.withUnsafeBytes { Self.append($0, at: Int(place) * size, size, to: &output) }
            }
            try self.checkSize(output.count)
        }
        MessageWriter.append("]}", to: &output)
        return output
    }

    /// Appends a vector that lies in memory as an array of numbers.
    private static func append(
        _ vectors: UnsafeRawBufferPointer, at start: Int, _ size: Int, to output: inout [UInt8]
    ) {
        var separator = UInt8(ascii: "[")
        for offset in stride(from: start, to: start + size, by: MemoryLayout<Float>.size) {
            output.append(separator)
            Float32Text.append(vectors.loadUnaligned(fromByteOffset: offset, as: Float.self), to: &output)
            separator = UInt8(ascii: ",")
        }
        output.append(UInt8(ascii: "]"))
    }

    /// Looks at what a worker answered for embeddings, before it counts as an answer.
    ///
    /// - Returns: what is wrong with it; nil: nothing, or it is about something else.
    mutating func faultOfEmbeddings(_ call: RequestToken, _ outcome: Outcome) -> String? {
        guard let fetch = self.requests[call].embedding?.fetch, case .result(let bytes) = outcome else {
            return nil
        }
        do {
            let reply = try EmbeddingReply(bytes, count: fetch.count)
            let scope = (reply.model ?? fetch.model).flatMap {
                self.scope(self.requests[call].pool, $0, uid: fetch.uid)
            }
            if let scope, let known = self.embeddings.dimensions(of: scope), known != reply.dimensions {
                _ = self.embeddings.accepts(dimensions: reply.dimensions, scope)
                return "expected vectors of \(known) numbers, as the model had until now, found "
                    + "\(reply.dimensions) (cache.clear embedding forgets the model)"
            }
            self.embeddingReply = reply
            return nil
        } catch {
            return error.words
        }
    }

    /// A worker has answered a flight's call: what it says is stored, and everybody who waits gets his vectors.
    mutating func concludeEmbeddings(
        _ call: RequestToken, _ flight: FlightToken, by worker: WorkerToken?,
        _ effects: inout some SupervisorEffects
    ) {
        guard let reply = self.embeddingReply, let fetch = self.requests[call].embedding?.fetch else {
            preconditionFailure("embeddings that were not looked at")
        }
        self.embeddingReply = nil
        let pool = self.requests[call].pool
        self.store(reply, fetch, of: flight)
        // Those who come later must not join what is being given out.
        self.requests.closeFlight(flight)
        while let waiter = self.requests.firstWaiter(for: flight) {
            guard let plan = self.requests[waiter].embedding?.plan else {
                preconditionFailure("waits for embeddings without a plan")
            }
            let model = reply.model ?? fetch.model
            let isMixed = plan.hitCount > 0 && (model != plan.model || plan.hitDimensions != reply.dimensions)
            if isMixed, self.holds(.oneModel) {
                self.askAnew(waiter, plan, pool, &effects)
                continue
            }
            do throws(RPCError) {
                let result = try self.vectors(
                    for: plan, model: model, reply.numbers, dimensions: reply.dimensions)
                result.withUnsafeBytes { self.finish(waiter, .result($0), by: worker, &effects) }
            } catch {
                self.finish(waiter, .failure(error), by: worker, &effects)
            }
        }
        self.requests.endFlight(flight)
    }

    private mutating func store(_ reply: EmbeddingReply, _ fetch: EmbeddingFetch, of flight: FlightToken) {
        let call = self.requests.flights[flight].call
        let pool = self.requests[call].pool
        let isOfThisGeneration =
            fetch.generation == self.embeddings.generation
            || (fetch.generation != nil && !self.holds(.embeddingGeneration))
        guard self.requests.flights[flight].isOpen, isOfThisGeneration,
            self.counts(flight), let model = reply.model ?? fetch.model
        else { return }
        if fetch.isOfPool, reply.model != nil { self.pools[pool].learn(model: model) }
        guard let scope = self.scope(pool, model, uid: fetch.uid),
            self.embeddings.accepts(dimensions: reply.dimensions, scope)
        else { return }
        let params = self.requests.withParts(of: call) { $0.params }
        guard let question = try? EmbeddingQuestion(params: params) else {
            preconditionFailure("params that were not built by us")
        }
        reply.numbers.withUnsafeBytes { numbers in
            let length = reply.dimensions * MemoryLayout<Float>.size
            for (index, text) in question.texts.enumerated() {
                self.embeddings.put(
                    UnsafeRawBufferPointer(rebasing: numbers[index * length..<(index + 1) * length]),
                    of: JSONScanner.unescapedUTF8(params, text), scope, at: self.now)
            }
        }
        self.saveEmbeddingsLater()
    }

    /// All texts of one who waits, none of them looked up.
    private mutating func secondDraft(
        _ waiter: RequestToken, _ plan: EmbeddingPlan, _ pool: Int
    ) throws(RPCError) -> Draft {
        let params = self.requests.withParts(of: waiter) { $0.params }
        let question = try EmbeddingQuestion(params: params)
        // Whose hits do not fit uses the cache.
        return try self.draft(question, params, pool, uid: plan.uid, use: .refresh)
    }

    /// A caller whose hits are of another model than what a worker has just answered asks for all its texts.
    private mutating func askAnew(
        _ waiter: RequestToken, _ plan: EmbeddingPlan, _ pool: Int, _ effects: inout some SupervisorEffects
    ) {
        do throws(RPCError) {
            let draft = try self.secondDraft(waiter, plan, pool)
            let worker = self.idleWorker(in: pool, isNotification: false, &effects)
            guard self.hasRoom(in: pool, with: worker) else { throw self.overloaded(pool) }
            self.requests.leaveFlight(waiter, for: draft.plan)
            self.makeFlightKey(draft, pool, isShared: false)
            let call = draft.params.withUnsafeBytes { self.beginFlight(for: waiter, params: $0, draft.fetch) }
            self.join(waiter, to: call, .miss, acceptsStale: false)
            self.start(call, on: worker, &effects)
        } catch {
            self.finish(waiter, .failure(error), by: nil, &effects)
        }
    }
}
