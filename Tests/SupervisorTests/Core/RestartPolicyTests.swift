import Testing

@testable import Supervisor

@Suite struct RestartPolicyTests {
    private static var settings: Configuration.Restart {
        var settings = Configuration.Restart()
        settings.jitter = 0
        return settings
    }

    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: .seconds(seconds)) }

    @Test func doublesTheWaitUpToItsCap() {
        var settings = Self.settings
        settings.maxDeaths = 1000
        var policy = RestartPolicy()
        let waits = (0..<12).map { _ in policy.failedStart(at: Self.at(1), settings, chance: 0) }
        let expected: [Int64] = [
            100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000,
        ]
        #expect(waits == expected.map { .restart(after: .milliseconds($0)) })
    }

    @Test(arguments: [0.0, 0.25, 0.5, 0.999])
    func takesOffAtMostTheJitter(chance: Double) {
        var settings = Self.settings
        settings.jitter = 0.5
        var policy = RestartPolicy()
        guard case .restart(let wait) = policy.failedStart(at: Self.at(1), settings, chance: chance) else {
            Issue.record("no restart")
            return
        }
        #expect(wait == 100_000_000 - Int64(50_000_000 * chance))
    }

    @Test func quarantinesAfterEnoughFailuresWithinTheWindow() {
        var policy = RestartPolicy()
        for _ in 0..<4 {
            #expect(policy.failedStart(at: Self.at(1), Self.settings, chance: 0) != .quarantine)
        }
        #expect(policy.failedStart(at: Self.at(61), Self.settings, chance: 0) == .quarantine)
    }

    @Test func doesNotQuarantineForFailuresThatAreFarApart() {
        var policy = RestartPolicy()
        for index in 0..<20 {
            let verdict = policy.failedStart(at: Self.at(Int64(index) * 30), Self.settings, chance: 0)
            #expect(verdict != .quarantine)
        }
    }

    @Test func staysQuarantinedHoweverRareItsTriesAre() {
        var policy = RestartPolicy()
        for _ in 0..<5 { _ = policy.failedStart(at: Self.at(1), Self.settings, chance: 0) }
        for minute in Int64(1)...10 {
            let verdict = policy.failedStart(at: Self.at(1 + 61 * minute), Self.settings, chance: 0)
            #expect(verdict == .quarantine)
        }
        policy.forgiveFailedStarts()
        let verdict = policy.failedStart(at: Self.at(1000), Self.settings, chance: 0)
        #expect(verdict == .restart(after: .milliseconds(100)))
    }

    @Test func slowsDownOnlyWhatDiesInServiceAllTheTime() {
        var policy = RestartPolicy()
        for index in 0..<20 {
            let verdict = policy.diedInService(at: Self.at(Int64(index)), Self.settings, chance: 0)
            #expect(verdict == .restart(after: .milliseconds(100)))
        }
        #expect(!policy.isFlapping(at: Self.at(19)))
        #expect(
            policy.diedInService(at: Self.at(20), Self.settings, chance: 0) == .restart(after: .seconds(1)))
        #expect(policy.isFlapping(at: Self.at(60)))
        #expect(!policy.isFlapping(at: Self.at(61)), "the first of its deaths is forgotten")
        let later = policy.diedInService(at: Self.at(200), Self.settings, chance: 0)
        #expect(later == .restart(after: .milliseconds(100)))
    }
}
