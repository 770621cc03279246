/// Time-ordered unique ids (RFC 9562 §5.7), the `request_id` of a request that brought none.
///
///     0197f3a2-5c1e-7abc-9def-0123456789ab
///     └ 48 bits of milliseconds since 1970 ┘ version 7, 12 random bits, variant 10, 62 random bits
public struct UUIDv7: Equatable, Sendable {
    /// Characters of the text form.
    public static let textCount = 36

    public let high: UInt64
    public let low: UInt64

    /// - Parameter random: 74 bits of it are used; the caller's generator decides how random they are.
    public init(millisecondsSince1970: Int64, random: (UInt64, UInt64)) {
        self.high = UInt64(truncatingIfNeeded: millisecondsSince1970) << 16 | 0x7000 | random.0 & 0x0FFF
        self.low = 0x8000_0000_0000_0000 | random.1 & 0x3FFF_FFFF_FFFF_FFFF
    }

    /// Appends the 36 characters of the text form.
    public func append(to output: inout [UInt8]) {
        output.append(atMost: Self.textCount) { self.append(to: &$0) }
    }

    /// Appends the 36 characters of the text form.
    public func append(to writer: inout ByteWriter) {
        writer.append(hexadecimal: UInt32(truncatingIfNeeded: self.high >> 32))
        writer.append("-")
        writer.append(hyphenated: UInt32(truncatingIfNeeded: self.high))
        writer.append("-")
        writer.append(hyphenated: UInt32(truncatingIfNeeded: self.low >> 32))
        writer.append(hexadecimal: UInt32(truncatingIfNeeded: self.low))
    }

    public var text: String {
        var bytes: [UInt8] = []
        self.append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
