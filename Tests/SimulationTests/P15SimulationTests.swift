import Glibc
import Testing

@testable import Supervisor

/// P15: slow and failing workers lose traffic.
///
///     SIMULATION_SEEDS=10000 swift test --filter P15      a hundredth of them, since each world has thousands of calls
@Suite struct P15SimulationTests {
    private static let seeds: ClosedRange<UInt64> = {
        let asked = getenv("SIMULATION_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 0
        return 1...max(4, asked / 100)
    }()

    /// One of four workers is 20 times slower in the second and third quarter of the run.
    private static func slow(_ strategy: Configuration.Strategy) -> BalancingWorld.Settings {
        var settings = BalancingWorld.Settings(strategy: strategy)
        settings.moods = [
            (.seconds(5), .works(.milliseconds(160))), (.seconds(15), settings.usual),
        ]
        return settings
    }

    /// A figure of each seed's world when its run is over.
    private static func figures<Figure>(
        _ settings: BalancingWorld.Settings, _ figure: (borrowing BalancingWorld) -> Figure
    ) -> [Figure] {
        self.seeds.map { seed in
            var world = BalancingWorld(settings, seed: seed)
            world.run()
            return figure(world)
        }
    }

    private static func percent(_ part: Double) -> String { "\((part * 100_000).rounded() / 1000) %" }

    @Test("P15: one worker 20 times slower for half the run")
    func answersInTimeWhileAWorkerIsSlow() {
        let measured = Self.figures(Self.slow(.performanceBased)) { $0.goodput }
        let inTurn = Self.figures(Self.slow(.roundRobin)) { $0.goodput }
        for (seed, goodput) in zip(Self.seeds, measured) {
            #expect(goodput >= 0.999, "seed \(seed): \(Self.percent(goodput))")
        }
        let means = [measured, inTurn].map { $0.reduce(0, +) / Double($0.count) }
        print(
            "P15: answered within 1 s while one of four workers is 20 times slower:",
            "performance_based \(Self.percent(means[0])), round_robin \(Self.percent(means[1]))")
        #expect(means[1] < 0.99, "the fault is one that matters")
    }

    /// The first worker answers -32603 within 1 ms from 2 s to 12 s.
    private static func failing(
        _ strategy: Configuration.Strategy, until end: Nanoseconds, without removed: Guard? = nil
    ) -> BalancingWorld.Settings {
        var settings = BalancingWorld.Settings(strategy: strategy, rate: 100, duration: end)
        settings.moods = [(.seconds(2), .fails(.milliseconds(1))), (.seconds(12), settings.usual)]
        settings.removedGuard = removed
        return settings
    }

    /// By then a worker that works again has its share: on probation after 5 s, 10 s and so on, or, when it was
    /// only avoided, once its faults are forgotten.
    private static func recovery(_ strategy: Configuration.Strategy) -> Nanoseconds {
        strategy == .performanceBased ? .seconds(110) : .seconds(25)
    }

    @Test("P15: one worker failing within 1 ms", arguments: Configuration.Strategy.allCases)
    func shunsAFailingWorkerUntilItIsHealed(strategy: Configuration.Strategy) {
        let back = Self.recovery(strategy)
        let end = back + .seconds(10)
        let shares = Self.figures(Self.failing(strategy, until: end)) { world in
            (
                failing: world.share(from: .seconds(3), to: .seconds(12)),
                healed: world.share(from: back, to: end)
            )
        }
        for (seed, share) in zip(Self.seeds, shares) {
            #expect(share.failing <= 0.02, "seed \(seed): \(Self.percent(share.failing)) while it fails")
            #expect(share.healed >= 0.1, "seed \(seed): \(Self.percent(share.healed)) when it is healed")
        }
    }

    @Test func noticesFaultsThatCountAsFastWork() {
        var settings = Self.failing(.performanceBased, until: .seconds(12), without: .slowFaults)
        settings.moods.removeLast()
        let shares = Self.figures(settings) { $0.share(from: .seconds(2), to: .seconds(3)) }
        #expect(shares.contains { $0 > 0.02 }, "\(shares)")
    }

    @Test(arguments: [Configuration.Strategy.roundRobin, .leastLoad])
    func noticesAFailingWorkerThatIsNotEjected(strategy: Configuration.Strategy) {
        let settings = Self.failing(strategy, until: .seconds(12), without: .ejection)
        let shares = Self.figures(settings) { $0.share(from: .seconds(3), to: .seconds(12)) }
        #expect(shares.allSatisfy { $0 > 0.02 }, "\(shares)")
    }
}
