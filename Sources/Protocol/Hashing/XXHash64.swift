/// The 64-bit xxHash of bytes (Y. Collet, xxHash fast digest algorithm, specification 0.1.1), seed 0.
///
///     XXHash64.hash("ab" + "c")                     at once
///     hash.update("ab"); hash.update("c")           piece by piece: the same value
///
/// Guards a file against damage, not against an attacker: whoever can write the file may also write its
/// checksums. About 10 GB/s.
public struct XXHash64: Sendable {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5
    /// Four words are hashed at a time.
    private static let stripe = 32

    private var lanes: SIMD4<UInt64> = [prime1 &+ prime2, prime2, 0, 0 &- prime1]
    /// The bytes since the last whole stripe, `count % 32` of them.
    private var pending: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    private var count = 0

    public init() {}

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = XXHash64()
        hash.update(bytes)
        return hash.value
    }

    public static func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { self.hash($0) } }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        var position = 0
        let waiting = self.count % Self.stripe
        self.count += bytes.count
        if waiting > 0 {
            position = min(Self.stripe - waiting, bytes.count)
            self.keep(bytes, ..<position, after: waiting)
            guard waiting + position == Self.stripe else { return }
            withUnsafeBytes(of: self.pending) { Self.mix(&self.lanes, $0, 0) }
        }
        // A local is kept in registers.
        var lanes = self.lanes
        while position + Self.stripe <= bytes.count {
            Self.mix(&lanes, bytes, position)
            position += Self.stripe
        }
        self.lanes = lanes
        self.keep(bytes, position..., after: 0)
    }

    /// The hash of all bytes so far.
    public var value: UInt64 {
        var hash = Self.prime5
        if self.count >= Self.stripe {
            hash =
                Self.rotate(self.lanes[0], 1) &+ Self.rotate(self.lanes[1], 7)
                &+ Self.rotate(self.lanes[2], 12) &+ Self.rotate(self.lanes[3], 18)
            for lane in 0..<4 {
                hash = (hash ^ Self.round(0, self.lanes[lane])) &* Self.prime1 &+ Self.prime4
            }
        }
        hash &+= UInt64(self.count)
        return withUnsafeBytes(of: self.pending) { pending in
            let tail = UnsafeRawBufferPointer(rebasing: pending[..<(self.count % Self.stripe)])
            return Self.avalanche(Self.tail(tail, hash))
        }
    }

    private mutating func keep(
        _ bytes: UnsafeRawBufferPointer, _ range: some RangeExpression<Int>, after waiting: Int
    ) {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[range])
        withUnsafeMutableBytes(of: &self.pending) { pending in
            UnsafeMutableRawBufferPointer(rebasing: pending[waiting...]).copyMemory(from: piece)
        }
    }

    @inline(__always)
    private static func mix(
        _ lanes: inout SIMD4<UInt64>, _ bytes: UnsafeRawBufferPointer, _ position: Int
    ) {
        for lane in 0..<4 {
            lanes[lane] = self.round(lanes[lane], self.word(bytes, position + 8 * lane))
        }
    }

    private static func tail(_ bytes: UnsafeRawBufferPointer, _ initial: UInt64) -> UInt64 {
        var hash = initial
        var position = 0
        while position + 8 <= bytes.count {
            hash =
                self.rotate(hash ^ self.round(0, self.word(bytes, position)), 27) &* self.prime1
                &+ self.prime4
            position += 8
        }
        if position + 4 <= bytes.count {
            let half = UInt32(
                littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
            hash = self.rotate(hash ^ UInt64(half) &* self.prime1, 23) &* self.prime2 &+ self.prime3
            position += 4
        }
        while position < bytes.count {
            hash = self.rotate(hash ^ UInt64(bytes[position]) &* self.prime5, 11) &* self.prime1
            position += 1
        }
        return hash
    }

    private static func avalanche(_ initial: UInt64) -> UInt64 {
        var hash = initial
        hash = (hash ^ hash >> 33) &* self.prime2
        hash = (hash ^ hash >> 29) &* self.prime3
        return hash ^ hash >> 32
    }

    private static func word(_ bytes: UnsafeRawBufferPointer, _ position: Int) -> UInt64 {
        UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
    }

    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        self.rotate(lane &+ word &* self.prime2, 31) &* self.prime1
    }

    private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 - count)
    }
}
