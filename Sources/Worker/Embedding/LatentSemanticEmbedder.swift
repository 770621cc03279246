/// Embeds texts by the latent semantic model of an index: microseconds a text, so nothing caches it.
///
/// A text of which the index knows no word has the vector zero.
struct LatentSemanticEmbedder: EmbeddingProvider {
    private let index: SearchIndex
    let model: String

    /// nil for an index that was not made with such a model.
    init?(index: SearchIndex) {
        guard index.settings.embeddingModel == nil, let model = index.embeddingModel else { return nil }
        self.index = index
        self.model = model
    }

    var dimensions: Int? { self.index.settings.dimensions }

    func embed(_ texts: [String], isCancelled: () -> Bool) throws(EmbeddingFailure) -> [[Float]] {
        var analyzer = TextAnalyzer()
        let search = DenseSearch(index: self.index)
        let zero = [Float](repeating: 0, count: self.index.settings.dimensions)
        var vectors: [[Float]] = []
        for text in texts {
            guard !isCancelled() else { throw EmbeddingFailure(.cancelled, "cancelled") }
            do throws(IndexError) {
                vectors.append(try search.vector(of: analyzer.terms(of: text)) ?? zero)
            } catch {
                throw EmbeddingFailure(.index(error), "\(error)")
            }
        }
        return vectors
    }
}
