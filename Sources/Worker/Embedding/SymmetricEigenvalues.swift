/// Eigenvalues and eigenvectors of a small symmetric matrix, by Jacobi rotations.
///
/// Golub & Van Loan, Matrix Computations, 4th ed., §8.5: each rotation makes one entry off the diagonal
/// zero; sweeps over all of them converge quadratically. Chosen for its accuracy and for being short; 200 × 200
/// takes 0.15 s.
struct SymmetricEigenvalues {
    /// The largest first.
    let values: [Double]
    /// `vectors[i]` belongs to `values[i]`.
    let vectors: [[Double]]

    /// - Parameter matrix: square; its lower triangle is read.
    init(_ matrix: DenseMatrix) {
        let size = matrix.columns
        var entries = [Double](repeating: 0, count: size * size)
        for row in 0..<size {
            for column in 0...row {
                entries[row * size + column] = Double(matrix.values[row * size + column])
                entries[column * size + row] = entries[row * size + column]
            }
        }
        var rotation = [Double](repeating: 0, count: size * size)
        for index in 0..<size { rotation[index * size + index] = 1 }
        entries.withUnsafeMutableBufferPointer { entries in
            rotation.withUnsafeMutableBufferPointer { rotation in
                for _ in 0..<30 where !Self.sweep(entries, rotation, size: size) { break }
            }
        }
        let order = (0..<size).sorted { entries[$0 * size + $0] > entries[$1 * size + $1] }
        self.values = order.map { entries[$0 * size + $0] }
        self.vectors = order.map { Array(rotation[$0 * size..<($0 + 1) * size]) }
    }

    /// One rotation for each entry below the diagonal.
    ///
    /// - Returns: whether any entry was worth a rotation.
    private static func sweep(
        _ entries: UnsafeMutableBufferPointer<Double>, _ rotation: UnsafeMutableBufferPointer<Double>,
        size: Int
    ) -> Bool {
        var isChanged = false
        for first in 0..<size {
            for second in first + 1..<max(size, first + 1) {
                let entry = entries[first * size + second]
                let diagonal = entries[first * size + first] * entries[second * size + second]
                guard entry * entry > 1e-24 * abs(diagonal), abs(entry) > 1e-300 else { continue }
                isChanged = true
                let tau = (entries[second * size + second] - entries[first * size + first]) / (2 * entry)
                let tangent = (tau >= 0 ? 1 : -1) / (abs(tau) + (1 + tau * tau).squareRoot())
                let cosine = 1 / (1 + tangent * tangent).squareRoot()
                let sine = tangent * cosine
                // Rows of the rotation are the eigenvectors, so that everything but the columns is contiguous.
                Self.rotate(entries, first * size, second * size, step: 1, size, cosine, sine)
                Self.rotate(entries, first, second, step: size, size, cosine, sine)
                Self.rotate(rotation, first * size, second * size, step: 1, size, cosine, sine)
            }
        }
        return isChanged
    }

    private static func rotate(
        _ values: UnsafeMutableBufferPointer<Double>, _ first: Int, _ second: Int, step: Int, _ count: Int,
        _ cosine: Double, _ sine: Double
    ) {
        var index = 0
        while index < count {
            let left = values[first &+ index &* step]
            let right = values[second &+ index &* step]
            values[first &+ index &* step] = cosine * left - sine * right
            values[second &+ index &* step] = sine * left + cosine * right
            index &+= 1
        }
    }
}
