import Testing

@testable import Supervisor

@Suite struct BalancerTests {
    private static func candidate(
        _ slot: Int, inFlight: Int = 0, of maxConcurrency: Int = 4, latency: Double? = nil
    ) -> Balancer.Candidate {
        Balancer.Candidate(
            token: WorkerToken(index: UInt32(slot), generation: 1), slot: slot, inFlight: inFlight,
            maxConcurrency: maxConcurrency, latency: latency)
    }

    @Test func goesRoundInSlotOrderAlsoWhenOneLeaves() {
        var turn = 0
        let all = (0..<3).map { Self.candidate($0) }
        var order = (0..<4).compactMap { _ in Balancer.roundRobin(all, turn: &turn)?.slot }
        order += (0..<3).compactMap { _ in Balancer.roundRobin([all[0], all[2]], turn: &turn)?.slot }
        order += (0..<3).compactMap { _ in Balancer.roundRobin(all, turn: &turn)?.slot }
        #expect(order == [0, 1, 2, 0, 2, 0, 2, 0, 1, 2])
        #expect(Balancer.roundRobin([], turn: &turn) == nil)
    }

    @Test func takesTheLeastLoadedPerSlot() {
        var turn = 0
        let candidates = [
            Self.candidate(0, inFlight: 1, of: 2), Self.candidate(1, inFlight: 2, of: 8),
            Self.candidate(2, inFlight: 1, of: 3),
        ]
        #expect(Balancer.leastLoad(candidates, turn: &turn)?.slot == 1)
    }

    @Test func breaksTiesInTurn() {
        var turn = 0
        let candidates = (0..<3).map { Self.candidate($0) }
        let order = (0..<6).compactMap { _ in Balancer.leastLoad(candidates, turn: &turn)?.slot }
        #expect(order == [0, 1, 2, 0, 1, 2])
        #expect(Balancer.leastLoad([], turn: &turn) == nil)
    }

    @Test func comparesTwoDifferentWorkersByChance() {
        var random = SeededGenerator(seed: 5)
        let candidates = [
            Self.candidate(0, latency: 1e6), Self.candidate(1, latency: 1e6),
            Self.candidate(2, latency: 20e6), Self.candidate(3, latency: nil),
        ]
        var counts = [0, 0, 0, 0]
        for _ in 0..<12_000 {
            if let slot = Balancer.performanceBased(candidates, random: &random)?.slot { counts[slot] += 1 }
        }
        #expect(counts[2] == 0, "the slowest loses every comparison")
        for slot in [0, 1, 3] { #expect((3600...4400).contains(counts[slot]), "\(counts)") }
    }

    @Test func weighsLatencyWithWhatIsInFlight() {
        var random = SeededGenerator(seed: 5)
        let candidates = [
            Self.candidate(0, inFlight: 3, latency: 1e6), Self.candidate(1, inFlight: 0, latency: 3e6),
        ]
        for _ in 0..<50 {
            #expect(Balancer.performanceBased(candidates, random: &random)?.slot == 1)
        }
        #expect(Balancer.performanceBased([candidates[0]], random: &random)?.slot == 0)
        #expect(Balancer.performanceBased([], random: &random) == nil)
    }
}

@Suite struct PeakLatencyTests {
    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: .seconds(seconds)) }

    @Test func risesAtOnceAndFallsSlowly() throws {
        var latency = PeakLatency()
        #expect(latency.expected(at: Self.at(0)) == nil)
        latency.record(.milliseconds(10), at: Self.at(0))
        latency.record(.milliseconds(500), at: Self.at(1))
        #expect(latency.expected(at: Self.at(1)) == 500e6)
        latency.record(.milliseconds(10), at: Self.at(2))
        let expected = try #require(latency.expected(at: Self.at(2)))
        #expect((400e6..<500e6).contains(expected))
    }

    @Test func forgetsAPeakAlsoWhileNothingIsMeasured() throws {
        var latency = PeakLatency()
        latency.record(PeakLatency.fault, at: Self.at(0))
        let soon = try #require(latency.expected(at: Self.at(10)))
        let late = try #require(latency.expected(at: Self.at(100)))
        #expect(abs(soon / 5e9 - 0.39) < 0.03)
        #expect(late < 0.01 * 5e9)
    }
}
