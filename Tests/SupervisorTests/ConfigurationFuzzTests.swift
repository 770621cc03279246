import Protocol
import Testing

@testable import Supervisor

/// Configurations with random values in random places: never a trap, and what is accepted makes sense.
@Suite struct ConfigurationFuzzTests {
    static let values = [
        "0", "-1", "1", "64", "1e300", "-0.0", "NaN", "Infinity", "0.5", "9223372036854775807", "null",
        "true", "''",
        "'x'", "'default'", "'a'", "'off'", "'0s'", "'1ms'", "'8760h'", "'9999999999h'", "'1TiB'",
        "'999999TiB'",
        "'0777'", "[]", "[[]]", "['x']", "[1]", "{}", "{a: {}}", "{a: 'a'}", "{a: '1s'}", "[{}]",
        "[{name: 'a'}, {}]",
        "'\\0'", "'é'",
    ]

    @Test func acceptsOnlyWhatMakesSense() {
        let parts = ConfigurationTests.everyKey.split(separator: ":", omittingEmptySubsequences: false).map(
            String.init)
        var random = SeededGenerator(seed: 7)
        var accepted = 0
        for _ in 0..<1500 {
            var mutated = parts
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 1..<parts.count, using: &random)
                // What stood up to the next comma or bracket of this value is replaced.
                let rest = parts[index].drop { !",}]".contains($0) }
                mutated[index] = (Self.values.randomElement(using: &random) ?? "") + rest
            }
            let text = mutated.joined(separator: ":")
            let (configuration, errors) = ConfigurationTests.load(text)
            guard errors.isEmpty else { continue }
            accepted += 1
            if let nonsense = Self.nonsense(in: configuration) {
                Issue.record("\(nonsense) in \(text)")
                return
            }
        }
        #expect(accepted > 50)
    }

    private static func nonsense(in configuration: Configuration) -> String? {
        let names = configuration.pools.map(\.name)
        if names.isEmpty || Set(names).count != names.count { return "pool names \(names)" }
        for pool in configuration.pools {
            if !(1...pool.maxWorkers).contains(pool.minWorkers) || pool.maxWorkers > 1024 { return "workers" }
            if pool.command.first?.isEmpty != false || pool.prepare.first == "" { return "a command" }
        }
        if !configuration.loadBalancer.techniqueRouting.values.allSatisfy(names.contains) { return "a route" }
        let durations = [
            configuration.timeouts.standard, configuration.timeouts.max, configuration.health.interval,
            configuration.health.timeout, configuration.restart.backoffInitial, configuration.restart.window,
        ]
        if durations.contains(where: { $0 < 1_000_000 || $0 > DurationText.longest }) { return "a duration" }
        if configuration.restart.backoffMax < configuration.restart.backoffInitial { return "the backoff" }
        let shares = [
            configuration.restart.jitter, configuration.recycle.jitter, configuration.retry.budgetRatio,
        ]
        return shares.allSatisfy((0...1).contains) ? nil : "a share"
    }
}
