import Protocol

/// Embeds texts by a model server over HTTP.
final class EndpointEmbedder: EmbeddingProvider {
    let settings: EndpointSettings
    let health: EndpointHealth
    private let client: HTTPClient
    /// As configured, or as the first answer had it.
    private let learned: Locked<Int?>

    init(_ settings: EndpointSettings, limits: HTTPClient.Limits = HTTPClient.Limits()) {
        self.settings = settings
        self.health = EndpointHealth(url: settings.url)
        self.client = HTTPClient(settings.address, limits: limits)
        self.learned = Locked(settings.dimensions)
    }

    var model: String { self.settings.model }
    var dimensions: Int? { self.learned.withLock { $0 } }
    var url: String { self.settings.url }

    /// Embeds texts in batches, one after the other.
    func embed(_ texts: [String], isCancelled: () -> Bool) throws(EmbeddingFailure) -> [[Float]] {
        var vectors: [[Float]] = []
        vectors.reserveCapacity(texts.count)
        for start in stride(from: 0, to: texts.count, by: self.settings.batchSize) {
            let batch = Array(texts[start..<min(start + self.settings.batchSize, texts.count)])
            vectors += try self.embed(batch: batch, isCancelled: isCancelled)
        }
        return vectors
    }

    private func embed(batch: [String], isCancelled: () -> Bool) throws(EmbeddingFailure) -> [[Float]] {
        try self.health.admit()
        do throws(EmbeddingFailure) {
            let vectors = try self.ask(batch, isCancelled: isCancelled)
            self.health.note(nil)
            return vectors
        } catch {
            self.health.note(error)
            throw error
        }
    }

    private func ask(_ texts: [String], isCancelled: () -> Bool) throws(EmbeddingFailure) -> [[Float]] {
        let response: HTTPResponse
        do throws(HTTPFailure) {
            response = try self.client.post(
                self.settings.dialect.path(below: self.settings.address),
                json: self.settings.dialect.request(model: self.model, texts: texts),
                authorization: self.settings.apiKey.map { "Bearer \($0)" },
                until: .now.adding(milliseconds: self.settings.timeoutMilliseconds), isCancelled: isCancelled)
        } catch {
            throw self.failure(error)
        }
        guard response.status == 200 else {
            let body = response.body.withUnsafeBytes { Excerpt.escaped($0) }
            throw self.failure(.refused(status: response.status), "it answered \(response.status): \(body)")
        }
        do throws(EndpointDialect.Fault) {
            let vectors = try self.settings.dialect.vectors(
                in: response.body, count: texts.count, dimensions: self.dimensions)
            self.learned.withLock { $0 = $0 ?? vectors.first?.count }
            return vectors
        } catch {
            throw self.failure(.unusable, error.description)
        }
    }

    private func failure(_ failure: HTTPFailure) -> EmbeddingFailure {
        switch failure.kind {
        case .cancelled: EmbeddingFailure(.cancelled, "cancelled")
        case .cannotConnect, .closedUnanswered, .cutOff, .timeout: self.failure(.unreachable, "\(failure)")
        case .malformed, .tooLarge: self.failure(.unusable, "\(failure)")
        }
    }

    private func failure(_ kind: EmbeddingFailure.Kind, _ why: String) -> EmbeddingFailure {
        EmbeddingFailure(kind, "The embedding endpoint \(self.url) cannot be used: \(why)", url: self.url)
    }
}
