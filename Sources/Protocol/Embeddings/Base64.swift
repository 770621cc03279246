/// Base64 as RFC 4648, section 4 has it: the standard alphabet, with padding, nothing beside it.
public enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    /// The value of each byte that is a digit; 255 for the others.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 255, count: 256)
        for (value, digit) in digits.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }()

    /// Bytes of text that so many bytes take.
    public static func encodedCount(_ bytes: Int) -> Int { (bytes + 2) / 3 * 4 }

    public static func append(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.reserveCapacity(output.count + self.encodedCount(bytes.count))
        var index = 0
        while index < bytes.count {
            let left = min(3, bytes.count - index)
            var word = UInt32(bytes[index]) << 16
            if left > 1 { word |= UInt32(bytes[index + 1]) << 8 }
            if left > 2 { word |= UInt32(bytes[index + 2]) }
            for place in 0..<4 {
                let digit = Self.digits[Int(word >> (18 - 6 * UInt32(place)) & 63)]
                output.append(place <= left ? digit : UInt8(ascii: "="))
            }
            index += 3
        }
    }

    /// Appends the bytes that a text stands for.
    ///
    /// - Returns: false, and the output as it was, when the text is not Base64: a foreign character, a length that
    ///   is no multiple of four, wrong padding, or bits set that no byte has (of two texts for the same bytes
    ///   one is wrong).
    public static func decode(_ text: UnsafeRawBufferPointer, to output: inout [UInt8]) -> Bool {
        guard text.count % 4 == 0 else { return false }
        let start = output.count
        output.reserveCapacity(start + text.count / 4 * 3)
        for group in stride(from: 0, to: text.count, by: 4) {
            let isLast = group + 4 == text.count
            var padding = 0
            if isLast, text[group + 3] == UInt8(ascii: "=") {
                padding = text[group + 2] == UInt8(ascii: "=") ? 2 : 1
            }
            var word: UInt32 = 0
            for place in 0..<4 {
                let value = place >= 4 - padding ? 0 : Self.values[Int(text[group + place])]
                guard value < 64 else {
                    output.removeSubrange(start...)
                    return false
                }
                word = word << 6 | UInt32(value)
            }
            guard word & (1 << (8 * UInt32(padding)) - 1) == 0 else {
                output.removeSubrange(start...)
                return false
            }
            output.append(UInt8(truncatingIfNeeded: word >> 16))
            if padding < 2 { output.append(UInt8(truncatingIfNeeded: word >> 8)) }
            if padding < 1 { output.append(UInt8(truncatingIfNeeded: word)) }
        }
        return true
    }
}
