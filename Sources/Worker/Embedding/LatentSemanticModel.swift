/// Latent semantic indexing: chunks and queries as vectors in which words that occur in the same company are
/// close.
///
/// Deerwester et al. 1990. The term–chunk matrix A, weighted with ln(1 + tf) · idf and its columns brought to
/// length one, is approximated by its k largest singular triplets, A ≈ U Σ Vᵀ. A chunk's vector is its row of
/// V Σ = Aᵀ U; a query q is folded in as qᵀ U. Both are compared by their cosine.
///
/// The triplets come from randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4 with
/// the final step on the small Gram matrix): the range of A is found by multiplying random vectors with A and Aᵀ
/// in turn. The random numbers have a fixed seed, so the same corpus gives the same vectors.
///
/// - Complexity: O((p + 2) · (postings · k + (terms + chunks) · k²)) for p power iterations.
struct LatentSemanticModel {
    private(set) var dimensions = 0
    /// Chunks × dimensions, each of length one or zero.
    private(set) var vectors: [Float] = []
    /// Rows × dimensions: what one ln(1 + tf) of the term adds to a query.
    private(set) var projection: [Float] = []
    /// The row of each term; `TermRecord.noRow` for those left out.
    private(set) var rows: [UInt32]

    /// Vectors beyond those asked for, dropped at the end; they keep the last of the k accurate.
    private static let oversampling = 12
    private static let powerIterations = 3
    /// More terms cost memory in every index and tell little: the rarest are left out.
    private static let maximumTerms = 100_000
    private static let seed: UInt64 = 0x1A7E_5E3A

    private init(termCount: Int) {
        self.rows = [UInt32](repeating: TermRecord.noRow, count: termCount)
    }

    /// No model of ours: vectors that were made elsewhere, and no term that folds a query in.
    init(_ vectors: ChunkVectors, termCount: Int) {
        self.init(termCount: termCount)
        self.dimensions = vectors.dimensions
        self.vectors = vectors.values
    }

    /// - Parameters:
    ///   - postings: where each term occurs, by term.
    ///   - dimensions: the k to use; a corpus with fewer chunks or terms gets fewer. 0: no embedding.
    static func build(_ postings: [[Posting]], chunkCount: Int, dimensions: Int) -> LatentSemanticModel {
        var model = LatentSemanticModel(termCount: postings.count)
        let selected = model.selectTerms(postings)
        let limit = min(selected.count, chunkCount)
        let rank = min(dimensions, limit)
        guard rank > 0 else { return model }
        let weights = selected.map { Self.weight(of: postings[$0], chunkCount: chunkCount) }
        let matrix = TermChunkMatrix(
            selected.map { postings[$0] }, weights: weights, chunkCount: chunkCount)

        var basis = matrix.multiplied(
            by: .random(rows: chunkCount, columns: min(rank + Self.oversampling, limit), seed: Self.seed))
        basis.orthonormalize()
        for _ in 0..<Self.powerIterations {
            var chunks = matrix.transposedMultiplied(by: basis)
            chunks.orthonormalize()
            basis = matrix.multiplied(by: chunks)
            basis.orthonormalize()
        }
        let chunks = matrix.transposedMultiplied(by: basis)
        let rotation = Self.rotation(SymmetricEigenvalues(chunks.gram()), rank: rank)
        guard rotation.columns > 0 else { return model }
        model.store(chunks: chunks.multiplied(by: rotation), terms: basis.multiplied(by: rotation), weights)
        return model
    }

    /// Inverse document frequency, ln(1 + N / n): positive for every term, so that a single chunk has a vector.
    private static func weight(of postings: [Posting], chunkCount: Int) -> Float {
        Float(MathFunctions.ln(1 + Double(chunkCount) / Double(postings.count)))
    }

    private mutating func selectTerms(_ postings: [[Posting]]) -> [Int] {
        var selected = Array(postings.indices)
        if selected.count > Self.maximumTerms {
            selected.sort { (postings[$0].count, $1) > (postings[$1].count, $0) }
            selected = selected.prefix(Self.maximumTerms).sorted()
        }
        for (row, term) in selected.enumerated() { self.rows[term] = UInt32(row) }
        return selected
    }

    /// The leading eigenvectors as columns; those without any share of the matrix are left out.
    private static func rotation(_ eigen: SymmetricEigenvalues, rank: Int) -> DenseMatrix {
        let smallest = (eigen.values.first ?? 0) * 1e-6
        let count = eigen.values.prefix(rank).prefix { $0 > smallest && $0 > 0 }.count
        var rotation = DenseMatrix(rows: eigen.values.count, columns: count)
        for column in 0..<count {
            for row in 0..<eigen.values.count {
                rotation.values[row * count + column] = Float(eigen.vectors[column][row])
            }
        }
        return rotation
    }

    private mutating func store(chunks: DenseMatrix, terms: DenseMatrix, _ weights: [Float]) {
        self.dimensions = chunks.columns
        self.vectors = chunks.values
        for chunk in 0..<chunks.rows {
            let range = chunk * self.dimensions..<(chunk + 1) * self.dimensions
            DenseVector.normalize(&self.vectors[range])
        }
        self.projection = terms.values
        for (row, weight) in weights.enumerated() {
            for index in row * self.dimensions..<(row + 1) * self.dimensions {
                self.projection[index] *= weight
            }
        }
    }
}
