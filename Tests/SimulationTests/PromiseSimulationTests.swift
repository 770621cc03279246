import Testing

@testable import Supervisor

/// Thousands of seeded worlds, each of which is judged for every promise after every tick.
///
///     SIMULATION_SEEDS=100000 swift test --filter SimulationTests      more of them
///     SIMULATION_SEED=1234 swift test --filter SimulationTests         one of them, with its log
@Suite struct PromiseSimulationTests {
    @Test("Every promise holds in every world", arguments: 0..<Seeds.blocks)
    func holds(block: Int) {
        var tally = Tally()
        for seed in Seeds.ofBlock(block) {
            SeedFile.note(seed, block: block)
            var world = VirtualWorld(seed: seed, traced: Seeds.isReplay)
            let violation = world.run()
            if Seeds.isReplay { print(world.trace.joined(separator: "\n")) }
            tally.add(world.judges.tested)
            guard let violation else { continue }
            Issue.record("seed \(seed): \(violation); replay: \(Seeds.replay(seed))")
            return
        }
        Tally.report(tally)
    }

    @Test func theSameSeedLivesThroughTheSameStory() {
        for seed in UInt64(1)...20 {
            var first = VirtualWorld(seed: seed, traced: true)
            var second = VirtualWorld(seed: seed, traced: true)
            #expect(first.run()?.description == second.run()?.description)
            #expect(first.trace == second.trace)
        }
    }
}
