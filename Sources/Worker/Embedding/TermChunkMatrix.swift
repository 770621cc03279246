/// The weighted term–chunk matrix, sparse, by term.
struct TermChunkMatrix {
    private let starts: [Int]
    private let chunks: [UInt32]
    private var values: [Float] = []
    private let chunkCount: Int

    init(_ postings: [[Posting]], weights: [Float], chunkCount: Int) {
        self.chunkCount = chunkCount
        var starts = [0]
        for list in postings { starts.append(starts[starts.count - 1] + list.count) }
        self.starts = starts
        self.chunks = postings.flatMap { $0.map(\.chunk) }
        var squares = [Float](repeating: 0, count: chunkCount)
        for (list, weight) in zip(postings, weights) {
            for posting in list {
                let value = Float(MathFunctions.log1p(Double(posting.frequency))) * weight
                self.values.append(value)
                squares[Int(posting.chunk)] += value * value
            }
        }
        for index in self.values.indices {
            self.values[index] /= squares[Int(self.chunks[index])].squareRoot()
        }
    }

    private var termCount: Int { self.starts.count - 1 }

    /// A · X, terms × columns.
    func multiplied(by other: DenseMatrix) -> DenseMatrix {
        var result = DenseMatrix(rows: self.termCount, columns: other.columns)
        let width = other.columns
        result.withRows { output in
            other.withRows { input in
                for term in 0..<self.termCount {
                    for index in self.starts[term]..<self.starts[term + 1] {
                        DenseMatrix.accumulate(
                            output + term * width, self.values[index],
                            input + Int(self.chunks[index]) * width,
                            count: width)
                    }
                }
            }
        }
        return result
    }

    /// Aᵀ · Y, chunks × columns.
    func transposedMultiplied(by other: DenseMatrix) -> DenseMatrix {
        var result = DenseMatrix(rows: self.chunkCount, columns: other.columns)
        let width = other.columns
        result.withRows { output in
            other.withRows { input in
                for term in 0..<self.termCount {
                    for index in self.starts[term]..<self.starts[term + 1] {
                        DenseMatrix.accumulate(
                            output + Int(self.chunks[index]) * width, self.values[index],
                            input + term * width,
                            count: width)
                    }
                }
            }
        }
        return result
    }
}
