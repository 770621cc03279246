import Protocol

/// Vectors as the embedding cache exchanges them: base64 of little-endian float32.
///
///     [1.0, -2.0] → 00 00 80 3F 00 00 00 C0 → "AACAPwAAAMA="
enum VectorText {
    /// Bytes of a vector's text.
    static func length(dimensions: Int) -> Int {
        Base64.encodedCount(dimensions * MemoryLayout<Float>.size)
    }

    /// Appends the text, without quotes.
    static func append(_ vector: [Float], to output: inout [UInt8]) {
        let words = vector.map { $0.bitPattern.littleEndian }
        words.withUnsafeBytes { Base64.append($0, to: &output) }
    }

    /// The vector; nil when the text is no base64, or not of finite numbers.
    static func vector(_ text: String) -> [Float]? {
        var bytes: [UInt8] = []
        guard Array(text.utf8).withUnsafeBytes({ Base64.decode($0, to: &bytes) }), bytes.count % 4 == 0,
            !bytes.isEmpty
        else { return nil }
        let vector = bytes.withUnsafeBytes { buffer in
            stride(from: 0, to: buffer.count, by: 4).map { offset in
                Float(
                    bitPattern: UInt32(
                        littleEndian: buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            }
        }
        return vector.allSatisfy(\.isFinite) ? vector : nil
    }
}
