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

    /// Writes the 36 characters of the text form: eight digits at once, and the hyphens between them.
    public func write(to memory: UnsafeMutableRawPointer) {
        let (first, second) = (Self.digits(self.high >> 32), Self.digits(self.high))
        let (third, fourth) = (Self.digits(self.low >> 32), Self.digits(self.low))
        let hyphen = UInt8(ascii: "-")
        memory.storeBytes(of: first.littleEndian, as: UInt64.self)
        memory.storeBytes(of: hyphen, toByteOffset: 8, as: UInt8.self)
        Self.store(second, to: memory + 9)
        memory.storeBytes(of: hyphen, toByteOffset: 18, as: UInt8.self)
        Self.store(third, to: memory + 19)
        memory.storeBytes(of: fourth.littleEndian, toByteOffset: 28, as: UInt64.self)
    }

    /// Two groups of four digits, with a hyphen between them.
    @inline(__always)
    private static func store(_ digits: UInt64, to memory: UnsafeMutableRawPointer) {
        memory.storeBytes(of: UInt32(truncatingIfNeeded: digits).littleEndian, as: UInt32.self)
        memory.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 4, as: UInt8.self)
        memory.storeBytes(
            of: UInt32(truncatingIfNeeded: digits >> 32).littleEndian, toByteOffset: 5, as: UInt32.self)
    }

    /// The hexadecimal digits of a number's low half as bytes of a word, the first one lowest: all eight at once (SWAR).
    @inline(__always)
    private static func digits(_ number: UInt64) -> UInt64 {
        // A nibble to each byte, the highest to the lowest.
        var nibbles = number & 0xFFFF_FFFF
        nibbles = (nibbles << 32 | nibbles >> 16) & 0x0000_FFFF_0000_FFFF
        nibbles = (nibbles << 16 | nibbles >> 8) & 0x00FF_00FF_00FF_00FF
        nibbles = (nibbles << 8 | nibbles >> 4) & 0x0F0F_0F0F_0F0F_0F0F
        // Six more than nine is sixteen: what has a letter has a bit there, and is 39 further from "0".
        let letters = (nibbles &+ 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        return nibbles &+ 0x3030_3030_3030_3030 &+ letters &* 39
    }

    public var text: String {
        String(unsafeUninitializedCapacity: Self.textCount) { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            self.write(to: base)
            return Self.textCount
        }
    }
}
