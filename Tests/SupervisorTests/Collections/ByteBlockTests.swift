import Glibc
import Testing

@testable import Supervisor

@Suite struct ByteBlockTests {
    private static func set(_ block: inout ByteBlock, _ count: Int) {
        block.set(count: count) { memory in
            for index in 0..<count {
                memory.storeBytes(of: UInt8(truncatingIfNeeded: index), toByteOffset: index, as: UInt8.self)
            }
        }
    }

    @Test(arguments: [0, 1, 64, 65, 16 * 1024, 100_000]) func keepsWhatWasSet(count: Int) {
        var block = ByteBlock()
        for _ in 0..<2 {
            Self.set(&block, count)
            let bytes = block.withUnsafeBytes { Array($0) }
            #expect(bytes == (0..<count).map { UInt8(truncatingIfNeeded: $0) })
            block.removeAll()
            let left = block.count
            #expect(left == 0)
        }
    }

    /// Who sends many bytes may keep them: what is set next is written elsewhere.
    @Test func leavesManyBytesToWhoKeepsThem() {
        var block = ByteBlock()
        Self.set(&block, 100_000)
        let kept = block.large
        block.set(count: 100_000) { memory in memset(memory, 7, 100_000) }
        #expect(kept == (0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
        Self.set(&block, 10)
        let isSmall = block.large == nil
        #expect(isSmall)
    }

    @Test func showsAPartInPlace() {
        var block = ByteBlock()
        Self.set(&block, 10)
        let (part, none) = (Array(block[3..<6]), block[10..<10].count)
        #expect(part == [3, 4, 5] && none == 0)
    }
}
