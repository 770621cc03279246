/// What accepted strings mean: escapes resolved.
extension JSONScanner {
    static func hexValue(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0"))
        case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt32(byte - UInt8(ascii: "a") + 10)
        case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt32(byte - UInt8(ascii: "A") + 10)
        default: nil
        }
    }

    /// The position behind the closing quote of an accepted string.
    static func endOfString(_ bytes: UnsafeRawBufferPointer, openingQuote: Int) -> Int {
        var scanner = JSONScanner(bytes, range: openingQuote..<bytes.count)
        do {
            _ = try scanner.skipString()
        } catch {
            preconditionFailure("endOfString on bytes that were never accepted: \(error)")
        }
        return scanner.position
    }

    /// The text of an accepted string's content, escapes resolved; a lone surrogate becomes U+FFFD.
    public static func unescaped(_ bytes: UnsafeRawBufferPointer, _ content: Range<Int>) -> String {
        String(decoding: self.unescapedUTF8(bytes, content), as: UTF8.self)
    }

    /// The UTF-8 of an accepted string's content, escapes resolved; a lone surrogate becomes U+FFFD.
    public static func unescapedUTF8(_ bytes: UnsafeRawBufferPointer, _ content: Range<Int>) -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(content.count)
        self.appendUnescaped(bytes, content, to: &output)
        return output
    }

    /// Appends the UTF-8 of an accepted string's content, escapes resolved; a lone surrogate becomes U+FFFD.
    ///
    /// - Returns: whether the text is exact: without lone surrogates.
    @discardableResult
    static func appendUnescaped(
        _ bytes: UnsafeRawBufferPointer, _ content: Range<Int>, to output: inout [UInt8]
    ) -> Bool {
        var isExact = true
        var index = content.lowerBound
        while index < content.upperBound {
            guard bytes[index] == UInt8(ascii: "\\") else {
                output.append(bytes[index])
                index += 1
                continue
            }
            let kind = bytes[index + 1]
            index += 2
            switch kind {
            case UInt8(ascii: "b"): output.append(0x08)
            case UInt8(ascii: "f"): output.append(0x0C)
            case UInt8(ascii: "n"): output.append(0x0A)
            case UInt8(ascii: "r"): output.append(0x0D)
            case UInt8(ascii: "t"): output.append(0x09)
            case UInt8(ascii: "u"):
                let scalar = self.scalar(bytes, at: &index, end: content.upperBound)
                if scalar == nil { isExact = false }
                output.append(contentsOf: scalar.flatMap(UTF8.encode) ?? UTF8.encodedReplacementCharacter)
            default: output.append(kind)
            }
        }
        return isExact
    }

    /// The scalar of `XXXX` or `XXXX\uXXXX`, the index at the first digit; nil for a lone surrogate.
    private static func scalar(
        _ bytes: UnsafeRawBufferPointer, at index: inout Int, end: Int
    ) -> Unicode.Scalar? {
        let unit = self.hexUnit(bytes, at: index)
        index += 4
        guard (0xD800..<0xDC00).contains(unit) else { return Unicode.Scalar(unit) }
        guard index + 6 <= end, bytes[index] == UInt8(ascii: "\\"), bytes[index + 1] == UInt8(ascii: "u")
        else { return nil }
        let low = self.hexUnit(bytes, at: index + 2)
        guard (0xDC00..<0xE000).contains(low) else { return nil }
        index += 6
        return Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
    }

    private static func hexUnit(_ bytes: UnsafeRawBufferPointer, at index: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 << 4 | (self.hexValue(bytes[index + $1]) ?? 0) }
    }
}
