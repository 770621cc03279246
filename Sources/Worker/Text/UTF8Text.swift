/// Reads of single scalars out of UTF-8 that was validated when it was indexed or received.
enum UTF8Text {
    /// The scalar that begins at an index and its width in bytes; nil when none begins there.
    static func scalar(_ bytes: [UInt8], at index: Int) -> (scalar: Unicode.Scalar, width: Int)? {
        guard index < bytes.count else { return nil }
        let lead = bytes[index]
        let width: Int
        switch lead {
        case ..<0x80: return (Unicode.Scalar(lead), 1)
        case 0xC2..<0xE0: width = 2
        case 0xE0..<0xF0: width = 3
        case 0xF0..<0xF5: width = 4
        default: return nil
        }
        guard index + width <= bytes.count else { return nil }
        var value = UInt32(lead) & (0x7F >> UInt32(width))
        for offset in 1..<width { value = value << 6 | UInt32(bytes[index + offset] & 0x3F) }
        return Unicode.Scalar(value).map { ($0, width) }
    }

    /// Whether a scalar begins at the index, so that text may be cut there.
    static func isBoundary(_ bytes: [UInt8], _ index: Int) -> Bool {
        index >= bytes.count || bytes[index] & 0xC0 != 0x80
    }

    /// The offset of the first byte that is no UTF-8; nil when all of it is.
    static func firstInvalidByte(_ bytes: [UInt8]) -> Int? {
        do {
            _ = try UTF8Span(validating: bytes.span)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }

    static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || (0x09...0x0D).contains(byte)
    }

    /// The range without white space at both ends; empty when there is nothing else.
    static func trimmed(_ bytes: [UInt8], _ range: Range<Int>) -> Range<Int> {
        var start = range.lowerBound
        var end = range.upperBound
        while start < end, self.isSpace(bytes[start]) { start += 1 }
        while end > start, self.isSpace(bytes[end - 1]) { end -= 1 }
        return start..<end
    }

    /// Calls back with each line's range, without its line feed (and carriage return).
    static func forEachLine(_ bytes: [UInt8], in range: Range<Int>, _ body: (Range<Int>) -> Void) {
        var start = range.lowerBound
        while start < range.upperBound {
            let feed = bytes[start..<range.upperBound].firstIndex(of: 0x0A) ?? range.upperBound
            let hasReturn = feed > start && bytes[feed - 1] == 0x0D
            body(start..<(hasReturn ? feed - 1 : feed))
            start = feed + 1
        }
    }
}
