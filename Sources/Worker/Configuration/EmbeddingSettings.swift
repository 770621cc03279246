import Protocol

/// How a worker makes vectors: `embedding` of its configuration.
enum EmbeddingSettings: Equatable {
    /// `provider: "lsi"`, the default: the model that stands in the index.
    case latentSemantic
    case endpoint(EndpointSettings)
}

/// A model server to get vectors from.
struct EndpointSettings: Equatable, Sendable {
    var dialect: EndpointDialect
    var address: HTTPAddress
    var model: String
    /// Numbers a vector; nil: as the first answer has them.
    var dimensions: Int?
    /// How long one request may take, connecting included.
    var timeoutMilliseconds: Int64 = 30_000
    /// Texts in one request.
    var batchSize = 32
    /// Never shown anywhere.
    var apiKey: String?

    /// What is posted to.
    var url: String { "\(self.address)\(self.dialect.path(below: self.address))" }
}

/// `embedding` as it stands in a file, checked, but for what depends on the environment.
struct EmbeddingConfiguration: Equatable {
    private enum Provider: String, CaseIterable {
        case lsi
        case ollama
        case openai
    }

    private var endpoint: EndpointSettings?
    private var apiKeyVariable: String?

    /// The key that stands in the variable named `api_key_env` is read here and nowhere else.
    func settings(_ environment: ProcessEnvironment) throws(UsageError) -> EmbeddingSettings {
        guard var endpoint = self.endpoint else { return .latentSemantic }
        if let variable = self.apiKeyVariable {
            guard let key = environment[variable] else {
                throw UsageError("embedding.api_key_env: the variable \(variable) is not set")
            }
            // Anything else could end the header it stands in.
            guard key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
                throw UsageError(
                    "embedding.api_key_env: expected \(variable) to hold printable characters without spaces")
            }
            endpoint.apiKey = key
        }
        return .endpoint(endpoint)
    }

    mutating func read(_ object: inout ConfigurationObject) {
        var provider = Provider.lsi
        var url: HTTPAddress?
        var model: String?
        var dimensions: Int?
        var timeout: Int64?
        var batchSize: Int?
        object.read("provider", into: &provider, .word())
        let given = [
            "url": object.read("url", into: &url, Self.address),
            "model": object.read(
                "model", into: &model,
                .text(where: "a name of 1 to 128 printable characters") {
                    (1...128).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x21...0x7E).contains($0) }
                }),
            "dimensions": object.read(
                "dimensions", into: &dimensions, .integer(1...EmbeddingLimits.dimensions)),
            "timeout": object.read("timeout", into: &timeout, .duration(1_000_000...600_000_000_000)),
            "batch_size": object.read("batch_size", into: &batchSize, .integer(1...256)),
            "api_key_env": object.read("api_key_env", into: &self.apiKeyVariable, Self.variable),
        ]
        guard let dialect = EndpointDialect(rawValue: provider.rawValue) else {
            for key in given.keys.sorted() where given[key] == true {
                object.report(key, "means nothing with provider \"lsi\", which needs no endpoint")
            }
            return
        }
        for key in ["url", "model"] where object.value(key) == nil {
            object.report(key, "expected a value: the provider \"\(provider.rawValue)\" needs one")
        }
        guard let url, let model else { return }
        var endpoint = EndpointSettings(dialect: dialect, address: url, model: model, dimensions: dimensions)
        if let timeout { endpoint.timeoutMilliseconds = timeout / 1_000_000 }
        if let batchSize { endpoint.batchSize = batchSize }
        self.endpoint = endpoint
    }

    private static var variable: ConfigurationType<String> {
        .text(where: "the name of an environment variable") { name in
            name.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) || $0 == 0x5F
            } && !name.isEmpty && !(name.utf8.first.map { (0x30...0x39).contains($0) } ?? true)
        }
    }

    private static var address: ConfigurationType<HTTPAddress> {
        ConfigurationType(encode: { .string($0.description) }) { value, path, errors in
            var message = "expected a URL such as \"http://127.0.0.1:11434\", found \(value.kindDescription)"
            if case .string(let text) = value.content {
                do throws(HTTPAddress.Fault) {
                    return try HTTPAddress(text)
                } catch {
                    switch error {
                    case .https:
                        message =
                            "https is not spoken here: run a proxy on this host that does (stunnel, nginx, "
                            + "Caddy, …), and give its http:// address"
                    case .notAnAddress:
                        message =
                            "expected a URL such as \"http://127.0.0.1:11434\", found "
                            + "\"\(Excerpt.escaped(text))\""
                    }
                }
            }
            errors.append(ConfigurationError(path: path, message, at: value.location))
            return nil
        }
    }
}

/// Bounds that hold for every provider.
enum EmbeddingLimits {
    /// Numbers a vector: the largest models of today have 8,192.
    static let dimensions = 16_384
}
