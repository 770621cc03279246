import Glibc
import Testing

@testable import Supervisor

/// P14: the cache is right under races.
///
///     SIMULATION_SEEDS=10000 swift test --filter P14      a tenth of them, since each world has hundreds of events
///     SIMULATION_SEED=1234 swift test --filter P14        one of them, with all that was said
@Suite struct P14SimulationTests {
    private static let seeds: ClosedRange<UInt64> = {
        if let one = Self.oneSeed { return one...one }
        let asked = getenv("SIMULATION_SEEDS").flatMap { UInt64(String(cString: $0)) } ?? 0
        return 1...max(40, asked / 10)
    }()

    private static let oneSeed = getenv("SIMULATION_SEED").flatMap { UInt64(String(cString: $0)) }

    private static func violation(_ seed: UInt64, without removed: Guard? = nil) -> String? {
        var world = CacheWorld(.init(removedGuard: removed), seed: seed)
        if Self.oneSeed != nil, removed == nil { world.trace = [] }
        defer { for line in world.trace ?? [] { print(line) } }
        return world.run()
    }

    @Test("P14: deaths, cancels, clears, epochs and leaps of the clock at any moment")
    func givesNothingThatIsOldOrForeign() {
        for seed in Self.seeds {
            guard let violation = Self.violation(seed) else { continue }
            Issue.record("seed \(seed): \(violation)")
            return
        }
    }

    @Test func seesEveryWordOfTheCache() {
        var words: [String: Int] = [:]
        for seed in UInt64(1)...40 {
            var world = CacheWorld(.init(), seed: seed)
            _ = world.run()
            words.merge(world.words) { $0 + $1 }
        }
        for word in ["hit", "miss", "stale", "coalesced", "bypass"] {
            #expect(words[word, default: 0] > 30, "\(words)")
        }
    }

    @Test("P14: equal calls, and the death of the worker that has theirs", arguments: 0...2)
    func asksAWorkerOnceAndOnceMoreAfterADeath(deaths: Int) {
        for seed in UInt64(1)...20 {
            var world = CacheWorld(.init(), seed: seed)
            let violation = world.storm(calls: 200, deaths: deaths)
            #expect(violation == nil, "seed \(seed)")
            guard deaths < 2 else { continue }
            #expect(world.sent == 1 + deaths, "seed \(seed): calls that reached a worker")
            #expect(world.failures == 0, "seed \(seed)")
        }
    }

    @Test(arguments: [Guard.generation, .workerEpoch, .singleFlight, .flightBound])
    func noticesAMissingGuard(removed: Guard) {
        let violations = (UInt64(1)...30).compactMap { Self.violation($0, without: removed) }
        #expect(violations.contains { $0.hasPrefix("P14") }, "\(violations)")
    }

    @Test("P14: vectors stand where they may, whatever happens to models, workers and the cache")
    func givesTheVectorsThatWereAskedFor() {
        var words: [String: Int] = [:]
        for seed in Self.seeds {
            var world = EmbeddingWorld(seed: seed)
            if let violation = world.run() {
                Issue.record("seed \(seed): \(violation)")
                return
            }
            words.merge(world.words) { $0 + $1 }
        }
        for word in ["hit", "miss", "coalesced", "bypass", "1003", "4002"] {
            #expect(words[word, default: 0] > 10, "\(words)")
        }
    }

    @Test(arguments: [Guard.oneModel, .embeddingGeneration])
    func noticesAMissingGuardOfEmbeddings(removed: Guard) {
        let violations = (UInt64(1)...60).compactMap { seed in
            var world = EmbeddingWorld(seed: seed, without: removed)
            return world.run()
        }
        #expect(violations.contains { $0.hasPrefix("P14") }, "\(violations)")
    }

    @Test func noticesThatNobodyTakesOver() {
        var world = CacheWorld(.init(removedGuard: .takeover), seed: 1)
        _ = world.storm(calls: 200, deaths: 1)
        #expect(world.failures > 0)
    }
}
