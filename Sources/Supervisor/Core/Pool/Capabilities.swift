import Protocol

/// What a worker says of itself in its answer to `health.check` (protocol §5).
///
/// Every member is optional and none is believed further than it can do harm: a value of the wrong type
/// counts as not declared.
struct Capabilities: Equatable, Sendable {
    var methods: [String]?
    var techniques: [String]?
    var maxConcurrency: Int?
    var cacheable: [String] = []
    var idempotent: [String] = []
    var isStreaming = false
    /// Whether it acts on `$/cancelRequest`.
    var honoursCancel = false
    var cacheEpoch: String?
    var embeddingModel: String?

    init() {}

    /// - Parameter value: the object `capabilities`.
    init(_ value: JSONValue) { self.update(with: value) }

    /// Takes a change: what is not named stays as it was.
    ///
    /// - Parameter value: the params of `worker.capabilities`.
    mutating func update(with value: JSONValue) {
        self.methods = Self.strings(value["methods"]) ?? self.methods
        self.techniques = Self.strings(value["techniques"]) ?? self.techniques
        if let count = value["max_concurrency"]?.integerValue, count >= 1 {
            self.maxConcurrency = Int(clamping: min(count, 4096))
        }
        self.cacheable = Self.strings(value["cacheable"]) ?? self.cacheable
        self.idempotent = Self.strings(value["idempotent"]) ?? self.idempotent
        self.isStreaming = value["streaming"]?.boolValue ?? self.isStreaming
        self.honoursCancel = value["cancel"]?.boolValue ?? self.honoursCancel
        self.cacheEpoch = value["cache_epoch"]?.stringValue ?? self.cacheEpoch
        self.embeddingModel = value["embedding_model"]?.stringValue ?? self.embeddingModel
    }

    private static func strings(_ value: JSONValue?) -> [String]? {
        value?.arrayValue?.compactMap(\.stringValue)
    }
}

/// What a worker's answer to `health.check` says of its health.
enum HealthReport: Equatable, Sendable {
    /// `healthy` or `degraded`: it takes calls. Without capabilities what it declared before stays valid.
    case able(Capabilities?)
    case unhealthy

    /// Judges the result of `health.check`: `{"status": "healthy" | "degraded" | "unhealthy", …}`.
    ///
    /// - Returns: nil for what is no such answer.
    init?(result: JSONValue) {
        switch result["status"]?.stringValue {
        case "healthy", "degraded":
            self = .able(result["capabilities"].map { Capabilities($0) })
        case "unhealthy":
            self = .unhealthy
        default:
            return nil
        }
    }
}
