/// A matrix of Float, row by row.
struct DenseMatrix {
    let rows: Int
    let columns: Int
    var values: [Float]

    init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        self.values = [Float](repeating: 0, count: rows * columns)
    }

    /// Entries from −1 to 1, the same for the same seed.
    static func random(rows: Int, columns: Int, seed: UInt64) -> DenseMatrix {
        var matrix = DenseMatrix(rows: rows, columns: columns)
        var generator = SplitMix64(state: seed)
        for index in matrix.values.indices {
            matrix.values[index] = Float(Int32(truncatingIfNeeded: generator.next())) / Float(Int32.max)
        }
        return matrix
    }

    /// `row += factor · other`, over the whole length: the one inner loop of all the algebra here.
    ///
    /// Each element is independent, so the compiler may vectorise without being allowed to reorder sums.
    @inline(__always)
    static func accumulate(
        _ row: UnsafeMutablePointer<Float>, _ factor: Float, _ other: UnsafePointer<Float>, count: Int
    ) {
        var index = 0
        while index < count {
            row[index] += factor * other[index]
            index &+= 1
        }
    }

    /// The lower triangle of `selfᵀ · self`, columns × columns.
    func gram() -> DenseMatrix {
        var result = DenseMatrix(rows: self.columns, columns: self.columns)
        let width = self.columns
        result.withRows { output in
            self.withRows { input in
                for row in 0..<self.rows {
                    let values = input + row * width
                    for column in 0..<width where values[column] != 0 {
                        Self.accumulate(output + column * width, values[column], values, count: column + 1)
                    }
                }
            }
        }
        return result
    }

    /// `self · other`.
    func multiplied(by other: DenseMatrix) -> DenseMatrix {
        precondition(self.columns == other.rows, "\(self.columns) columns times \(other.rows) rows")
        var result = DenseMatrix(rows: self.rows, columns: other.columns)
        result.withRows { output in
            self.withRows { left in
                other.withRows { right in
                    for row in 0..<self.rows {
                        for inner in 0..<self.columns {
                            Self.accumulate(
                                output + row * other.columns, left[row * self.columns + inner],
                                right + inner * other.columns, count: other.columns)
                        }
                    }
                }
            }
        }
        return result
    }

    /// Makes the columns orthonormal; columns that depend on earlier ones become zero.
    ///
    /// Cholesky QR, twice: with the Cholesky factor R of `selfᵀ · self`, the columns of `self · R⁻¹` are
    /// orthonormal up to rounding, and the second pass removes what rounding left.
    mutating func orthonormalize() {
        for _ in 0..<2 {
            var factor = self.gram()
            factor.factorize()
            self.divide(byTransposed: factor)
        }
    }

    /// Replaces the lower triangle by its Cholesky factor L, with zero rows for dependent columns.
    private mutating func factorize() {
        let size = self.columns
        self.withRows { values in
            for row in 0..<size {
                let diagonal = values[row * size + row]
                var rest = Double(diagonal)
                for column in 0..<row {
                    var sum = Double(values[row * size + column])
                    for inner in 0..<column {
                        sum -= Double(values[row * size + inner]) * Double(values[column * size + inner])
                    }
                    let pivot = values[column * size + column]
                    let entry = pivot > 0 ? sum / Double(pivot) : 0
                    values[row * size + column] = Float(entry)
                    rest -= entry * entry
                }
                let isDependent = rest <= Double(diagonal) * 1e-5 || rest <= 1e-20
                values[row * size + row] = isDependent ? 0 : Float(rest.squareRoot())
            }
        }
    }

    /// `self · (Lᵀ)⁻¹`, by substitution along each row.
    private mutating func divide(byTransposed factor: DenseMatrix) {
        let width = self.columns
        let count = self.rows
        var upper = DenseMatrix(rows: width, columns: width)
        for row in 0..<width {
            for column in 0...row { upper.values[column * width + row] = factor.values[row * width + column] }
        }
        self.withRows { (values: UnsafeMutablePointer<Float>) in
            upper.withRows { (upper: UnsafePointer<Float>) in
                for row in 0..<count {
                    let entries = values + row * width
                    for column in 0..<width {
                        let pivot = upper[column * width + column]
                        entries[column] = pivot > 0 ? entries[column] / pivot : 0
                        let next = column + 1
                        Self.accumulate(
                            entries + next, -entries[column], upper + column * width + next,
                            count: width - next)
                    }
                }
            }
        }
    }
}

extension DenseMatrix {
    mutating func withRows<Result>(_ body: (UnsafeMutablePointer<Float>) -> Result) -> Result {
        self.values.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("an empty matrix has no rows") }
            return body(start)
        }
    }

    func withRows<Result>(_ body: (UnsafePointer<Float>) -> Result) -> Result {
        self.values.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { preconditionFailure("an empty matrix has no rows") }
            return body(start)
        }
    }
}
