/// The ways of retrieval that this worker offers.
enum Technique: String, CaseIterable {
    case bm25
    case basic
    case hybrid

    /// What its scores are.
    var scoreType: String {
        switch self {
        case .bm25: "bm25"
        case .basic: "cosine"
        case .hybrid: "rrf"
        }
    }

    var summary: String {
        switch self {
        case .bm25: "words of the query, weighted (BM25)"
        case .basic: "vectors, by default of latent semantic indexing, compared by cosine"
        case .hybrid: "both, fused by reciprocal rank"
        }
    }

    /// Whether it needs a vector of the query.
    var usesVectors: Bool {
        switch self {
        case .bm25: false
        case .basic, .hybrid: true
        }
    }

    static let names = allCases.map(\.rawValue)
}

/// `technique_params`, as far as they belong to one technique.
struct TechniqueParameters: Equatable {
    var bm25 = BM25.Parameters()
    var fusion = RankFusion.Parameters()
}
