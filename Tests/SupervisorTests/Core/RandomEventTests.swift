import Protocol
import Testing

@testable import Supervisor

/// Any event may follow any other: whatever workers, clients and operators do, and in whatever order, the core
/// neither traps nor forgets anything.
@Suite struct RandomEventTests {
    /// Seeds are tried in blocks: a test case each would cost more than the seed.
    private static let blocks = 4
    private static let seedsInABlock = 2
    private static let events = 400

    @Test(arguments: 0..<Self.blocks) func survivesWhateverHappens(block: Int) {
        for seed in block * Self.seedsInABlock..<(block + 1) * Self.seedsInABlock {
            let world = RandomWorld(seed: UInt64(seed))
            for _ in 0..<Self.events where world.faults.isEmpty { world.happen() }
            if world.faults.isEmpty { world.calmDown() }
            if world.faults.isEmpty { world.shutDown() }
            #expect(world.faults.isEmpty, "seed \(seed): \(world.faults)")
        }
    }
}
