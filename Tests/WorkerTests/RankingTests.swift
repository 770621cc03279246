import Testing

@testable import Worker

@Suite struct TopHitsTests {
    @Test(arguments: 0..<20)
    func keepsTheBestInOrder(seed: Int) {
        var generator = SplitMix64(state: UInt64(seed))
        let hits = (0..<200).map { Hit(chunk: UInt32($0), score: Float(generator.next() % 50)) }
        for limit in [0, 1, 7, 200, 300] {
            var top = TopHits(limit: limit)
            for hit in hits { top.insert(hit) }
            #expect(top.sorted == Array(hits.sorted { $0.isBefore($1) }.prefix(limit)))
        }
    }
}

@Suite struct BM25Tests {
    @Test func scoresAsTheFormulaSays() throws {
        let small = try SmallIndex(texts: ["shell shell plate", "plate", "cone cone cone cone"])
        let hits = try BM25(index: small.index, parameters: BM25.Parameters(k1: 1.2, b: 0.75))
            .search(["shell", "plate"], limit: 10, selection: .all)
        let average = 8.0 / 3
        func term(_ frequency: Double, _ length: Double, holding: Double) -> Double {
            MathFunctions.ln(1 + (3 - holding + 0.5) / (holding + 0.5)) * frequency * 2.2
                / (frequency + 1.2 * (0.25 + 0.75 * length / average))
        }
        let expected = [term(2, 3, holding: 1) + term(1, 3, holding: 2), term(1, 1, holding: 2)]
        #expect(hits.map(\.chunk) == [0, 1])
        for (hit, score) in zip(hits, expected) { #expect(abs(Double(hit.score) - score) < 1e-5) }
    }

    @Test func countsATitleMoreThanTheText() throws {
        let small = try SmallIndex([
            SourceDocument(
                id: "text", source: "t", format: .plain, text: Array("Shells of steel, plates.".utf8)),
            SourceDocument(
                id: "title", source: "u", title: "Shells", format: .plain,
                text: Array("Steel plates here.".utf8)),
        ])
        #expect(try small.search(.bm25, "shell") == ["title", "text"])
    }

    @Test func findsOtherFormsOfAWord() throws {
        let small = try SmallIndex(texts: ["Restarting a crashed worker.", "Nothing of that."])
        #expect(try small.search(.bm25, "How are workers restarted after crashes?") == ["a"])
    }
}

@Suite struct RankFusionTests {
    static func ranking(_ chunks: [UInt32]) -> [Hit] { chunks.map { Hit(chunk: $0, score: 1) } }

    @Test func addsReciprocalRanks() {
        let fused = RankFusion().fuse([Self.ranking([1, 2, 3]), Self.ranking([3, 1])], limit: 10)
        #expect(fused.map(\.chunk) == [1, 3, 2])
        #expect(abs(fused[0].score - Float(1.0 / 61 + 1.0 / 62)) < 1e-7)
        #expect(abs(fused[2].score - Float(1.0 / 62)) < 1e-7)
    }

    @Test func weighsTheRankings() {
        let parameters = RankFusion.Parameters(k: 1, weights: [0, 2])
        let fused = RankFusion(parameters: parameters).fuse(
            [Self.ranking([1]), Self.ranking([2])], limit: 10)
        #expect(fused == [Hit(chunk: 2, score: 1)])
    }
}

@Suite struct LinearAlgebraTests {
    @Test func orthonormalizesAndDropsWhatDepends() {
        var matrix = DenseMatrix.random(rows: 40, columns: 6, seed: 1)
        for row in 0..<40 {
            // The fourth column is the sum of the first two.
            matrix.values[row * 6 + 3] = matrix.values[row * 6] + matrix.values[row * 6 + 1]
        }
        matrix.orthonormalize()
        let gram = matrix.gram()
        for row in 0..<6 {
            for column in 0...row {
                let expected: Float = row == column && row != 3 ? 1 : 0
                #expect(abs(gram.values[row * 6 + column] - expected) < 1e-4)
            }
        }
    }

    @Test func findsEigenvaluesOfASymmetricMatrix() {
        var matrix = DenseMatrix(rows: 3, columns: 3)
        // 2 −1 0 / −1 2 −1 / 0 −1 2: eigenvalues 2 + √2, 2, 2 − √2.
        matrix.values = [2, 0, 0, -1, 2, 0, 0, -1, 2]
        let eigen = SymmetricEigenvalues(matrix)
        for (value, expected) in zip(eigen.values, [2 + 2.0.squareRoot(), 2, 2 - 2.0.squareRoot()]) {
            #expect(abs(value - expected) < 1e-9)
        }
        #expect(abs(abs(eigen.vectors[1][0]) - 0.5.squareRoot()) < 1e-9)
        #expect(abs(eigen.vectors[1][1]) < 1e-9)
    }

    @Test(arguments: [0, 1, 3, 16, 17, 200])
    func multipliesVectors(count: Int) {
        let left = (0..<count).map { Float($0 % 7) - 3 }
        let right = (0..<count).map { Float($0 % 5) }
        let expected = zip(left, right).reduce(Float(0)) { $0 + $1.0 * $1.1 }
        let dot = left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                left.baseAddress.flatMap { left in
                    right.baseAddress.map { DenseVector.dot(left, $0, count: count) }
                }
            }
        }
        #expect(dot ?? 0 == expected)
    }
}

@Suite struct LatentSemanticModelTests {
    /// "Ship" and "boat" never stand together, but in the same company; "flower" stands elsewhere.
    static let texts = [
        "A ship crosses the ocean with sailors.", "A boat crosses the ocean with sailors.",
        "The ship carries sailors over the ocean.", "Sailors like a boat on the ocean.",
        "A flower grows in the garden with roses.", "The garden has a flower and roses.",
        "Roses grow beside a flower in the garden.",
    ]

    @Test func findsChunksThatDoNotHoldTheWord() throws {
        var settings = IndexSettings()
        settings.requestedDimensions = 2
        let small = try SmallIndex(
            Self.texts.enumerated().map { number, text in
                SourceDocument(id: "\(number)", source: "s", format: .plain, text: Array(text.utf8))
            }, settings: settings)
        #expect(small.index.settings.dimensions == 2)
        let found = try small.search(.basic, "boat", limit: 4)
        #expect(Set(found) == ["0", "1", "2", "3"])
    }

    @Test func givesUnitVectors() throws {
        let small = try SmallIndex(texts: Self.texts)
        let dimensions = small.index.settings.dimensions
        for chunk in 0..<small.index.chunks.count {
            let row = try small.index.vectors.slice(chunk * dimensions, count: dimensions)
            let start = try #require(row.baseAddress)
            #expect(abs(DenseVector.dot(start, start, count: dimensions) - 1) < 1e-4)
        }
    }

    @Test func doesWithoutVectorsWhenNoneAreWanted() throws {
        var settings = IndexSettings()
        settings.requestedDimensions = 0
        let small = try SmallIndex(
            [SourceDocument(id: "a", source: "a", format: .plain, text: Array("Some text.".utf8))],
            settings: settings)
        #expect(small.index.embeddingModel == nil)
        let outcome = try Retriever(index: small.index).retrieve(
            .basic, terms: ["text"], limit: 5, selection: .all)
        #expect(outcome.hits.count == 1)
        #expect(outcome.degraded == ["no_vectors_in_index"])
    }
}

@Suite struct RankingMeasuresTests {
    @Test func agreesWithTrecEval() {
        let measures = RankingMeasures(ranking: ["a", "x", "b", "y"], grades: ["a": 1, "b": 1, "c": 1])
        let ideal = 1 + 1 / MathFunctions.log2(3) + 0.5
        #expect(abs(measures.ndcgCut10 - 1.5 / ideal) < 1e-12)
        #expect(abs(measures.map - (1 + 2.0 / 3) / 3) < 1e-12)
        #expect(abs(measures.recall100 - 2.0 / 3) < 1e-12)
    }

    @Test func isZeroWithoutHits() {
        #expect(RankingMeasures(ranking: [], grades: ["a": 1]) == RankingMeasures())
    }
}

/// The figures that the techniques must reach on public collections; in release builds, since a debug build
/// takes minutes.
@Suite(
    .enabled(if: TestData.isPresent, "\(TestData.absence)"),
    .enabled(if: TestData.isRelease, "retrieval quality is measured in release builds"))
struct RetrievalQualityTests {
    @Test(arguments: [
        ("cranfield", [Technique.bm25: 0.39, .basic: 0.42, .hybrid: 0.42]),
        ("cacm", [Technique.bm25: 0.45, .basic: 0.36, .hybrid: 0.41]),
    ])
    func ranksWell(collection: String, floors: [Technique: Double]) throws {
        let directory = (TestData.directory ?? "") + "/" + collection
        let evaluation = try Evaluation(TestCollection(directory: directory))
        for (technique, floor) in floors {
            let measures = try evaluation.measure(technique)
            #expect(measures.ndcgCut10 >= floor, "\(collection), \(technique)")
        }
    }
}
