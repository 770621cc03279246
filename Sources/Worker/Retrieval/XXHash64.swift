/// The 64-bit xxHash of bytes (Y. Collet, xxHash fast digest algorithm, specification 0.1.1), seed 0.
///
/// Guards an index against damage, not against an attacker: whoever can write the index may also write its
/// checksums. About 10 GB/s.
struct XXHash64 {
    private static let prime1: UInt64 = 0x9E37_79B1_85EB_CA87
    private static let prime2: UInt64 = 0xC2B2_AE3D_27D4_EB4F
    private static let prime3: UInt64 = 0x1656_67B1_9E37_79F9
    private static let prime4: UInt64 = 0x85EB_CA77_C2B2_AE63
    private static let prime5: UInt64 = 0x27D4_EB2F_1656_67C5

    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var position = 0
        var hash: UInt64
        if bytes.count >= 32 {
            var lanes: SIMD4<UInt64> = [prime1 &+ prime2, prime2, 0, 0 &- prime1]
            while position + 32 <= bytes.count {
                for lane in 0..<4 {
                    lanes[lane] = self.round(lanes[lane], self.word(bytes, position + 8 * lane))
                }
                position += 32
            }
            hash =
                self.rotate(lanes[0], 1) &+ self.rotate(lanes[1], 7) &+ self.rotate(lanes[2], 12)
                &+ self.rotate(lanes[3], 18)
            for lane in 0..<4 { hash = (hash ^ self.round(0, lanes[lane])) &* self.prime1 &+ self.prime4 }
        } else {
            hash = self.prime5
        }
        hash &+= UInt64(bytes.count)
        return self.avalanche(self.tail(bytes, from: position, hash))
    }

    static func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { self.hash($0) } }

    private static func tail(_ bytes: UnsafeRawBufferPointer, from start: Int, _ initial: UInt64) -> UInt64 {
        var hash = initial
        var position = start
        while position + 8 <= bytes.count {
            hash =
                self.rotate(hash ^ self.round(0, self.word(bytes, position)), 27) &* self.prime1
                &+ self.prime4
            position += 8
        }
        if position + 4 <= bytes.count {
            let half = bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self)
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
        bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
    }

    private static func round(_ lane: UInt64, _ word: UInt64) -> UInt64 {
        self.rotate(lane &+ word &* self.prime2, 31) &* self.prime1
    }

    private static func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 {
        value << count | value >> (64 - count)
    }
}
