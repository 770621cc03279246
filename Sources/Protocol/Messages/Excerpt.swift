/// Text that others wrote, made safe to show: in error messages, logs and tables.
///
///     "a\u{1b}[31m" → a\x1b[31m        an invalid byte FF → \xff
public enum Excerpt {
    /// Bytes of input that an error message quotes at most.
    public static let messageBytes = 40
    /// Bytes of a line that a log or a table shows at most.
    public static let lineBytes = 8 * 1024

    /// The text with control characters as `\x1b`, cut after `limit` bytes of it.
    public static func escaped(_ text: String, limit: Int = messageBytes) -> String {
        var text = text
        return text.withUTF8 { self.escaped(UnsafeRawBufferPointer($0), limit: limit) }
    }

    /// The bytes as text with control characters as `\x1b`, invalid UTF-8 as `\xff`, cut after `limit` bytes.
    public static func escaped(_ bytes: UnsafeRawBufferPointer, limit: Int = messageBytes) -> String {
        var output = ""
        var rest = bytes[...]
        var taken = 0
        while !rest.isEmpty {
            // Almost all of almost every text: taken at once, for a log that is flooded.
            let plain = rest.prefix(limit - taken).prefix { (0x20..<0x7F).contains($0) }
            if !plain.isEmpty {
                output += String(decoding: plain, as: UTF8.self)
                taken += plain.count
                rest = rest[plain.endIndex...]
                continue
            }
            let (scalar, count) = self.decode(rest)
            guard taken + count <= limit else {
                output += "…"
                break
            }
            if let scalar, !self.isControl(scalar) {
                output.unicodeScalars.append(scalar)
            } else {
                for byte in rest.prefix(count) { output += self.hexEscape(byte) }
            }
            taken += count
            rest = rest.dropFirst(count)
        }
        return output
    }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value)
            || (0x202A...0x202E).contains(scalar.value) || (0x2066...0x2069).contains(scalar.value)
            || scalar.value == 0x2028 || scalar.value == 0x2029
    }

    private static func hexEscape(_ byte: UInt8) -> String {
        let digits = Array("0123456789abcdef")
        return "\\x\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
    }

    /// The first scalar and its length; nil and 1 where the bytes are no UTF-8.
    private static func decode(
        _ bytes: Slice<UnsafeRawBufferPointer>
    ) -> (scalar: Unicode.Scalar?, count: Int) {
        var decoder = UTF8()
        var iterator = bytes.prefix(4).makeIterator()
        guard case .scalarValue(let scalar) = decoder.decode(&iterator) else { return (nil, 1) }
        return (scalar, UTF8.width(scalar))
    }
}
