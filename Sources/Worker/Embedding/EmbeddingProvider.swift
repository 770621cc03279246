import Protocol

/// What turns texts into vectors.
protocol EmbeddingProvider: Sendable {
    /// By which vectors are told from those of another provider, in an index and in caches: equal texts and equal
    /// names mean equal vectors.
    var model: String { get }
    /// Numbers a vector; nil while it is not known.
    var dimensions: Int? { get }

    /// One vector a text, in the order of the texts; finite numbers, all vectors equally long.
    ///
    /// - Parameter isCancelled: asked now and then, when it takes long.
    func embed(
        _ texts: [String], isCancelled: () -> Bool
    ) throws(EmbeddingFailure) -> [[Float]]
}

/// Why there are no vectors.
struct EmbeddingFailure: Error, Equatable, CustomStringConvertible {
    enum Kind: Equatable {
        /// Nobody answers there, or not in time.
        case unreachable
        /// It answers with an HTTP error.
        case refused(status: Int)
        /// It answers, but not with the vectors that were asked for.
        case unusable
        /// The index itself is at fault.
        case index(IndexError)
        /// The caller has given up.
        case cancelled
    }

    var kind: Kind
    var description: String
    /// The endpoint; nil where there is none.
    var url: String?

    init(_ kind: Kind, _ description: String, url: String? = nil) {
        self.kind = kind
        self.description = description
        self.url = url
    }

    /// Whether the same may succeed later.
    var isPassing: Bool {
        switch self.kind {
        case .unreachable: true
        case .refused(let status): status >= 500 || status == 429 || status == 408
        case .unusable, .index, .cancelled: false
        }
    }

    private var reason: String {
        switch self.kind {
        case .unreachable: "endpoint_unreachable"
        case .refused: "endpoint_error"
        case .unusable, .index, .cancelled: "endpoint_unusable"
        }
    }

    /// What a call that needs vectors is answered with: 4002, and bm25 as the way out.
    var rpcError: RPCError {
        switch self.kind {
        case .index(let error): return .unusableIndex(error)
        case .cancelled: return .cancelledMeanwhile
        case .unreachable, .refused, .unusable:
            return RPCError(
                .missingDependencies, reason: self.reason, self.description, retryable: self.isPassing,
                recovery: .fallbackTechnique, details: self.url.map { [.init("url", .string($0))] } ?? [])
        }
    }
}
