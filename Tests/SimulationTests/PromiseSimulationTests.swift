import Glibc
import Testing

@testable import Supervisor

/// Thousands of seeded worlds, each checked after every event.
///
///     SIMULATION_SEEDS=100000 swift test --filter SimulationTests      more of them
///     SIMULATION_SEED=1234 swift test --filter SimulationTests         one of them, with its log
@Suite struct PromiseSimulationTests {
    private static let blocks = 20

    private static let command =
        "swift test -c release --disable-xctest --scratch-path .build/checked -Xswiftc -assert-config"
        + " -Xswiftc Debug -Xswiftc -DMUTATIONS --filter SimulationTests"

    private static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    /// The seeds of one block: both cores work on blocks, the loop inside costs no test each.
    private static func seeds(ofBlock block: Int) -> Range<UInt64> {
        if let seed = self.number("SIMULATION_SEED") { return block == 0 ? seed..<seed + 1 : 0..<0 }
        let perBlock =
            ((self.number("SIMULATION_SEEDS") ?? 400) + UInt64(self.blocks) - 1) / UInt64(self.blocks)
        let first = UInt64(block) * perBlock + 1
        return first..<first + perBlock
    }

    @Test("P1, P2: every call gets its own answer, once and in time", arguments: 0..<Self.blocks)
    func answersEveryCallOnce(block: Int) {
        for seed in Self.seeds(ofBlock: block) {
            SeedFile.note(seed, block: block)
            let isReplay = Self.number("SIMULATION_SEED") != nil
            var world = VirtualWorld(seed: seed, traced: isReplay)
            let violation = world.run()
            if isReplay { print(world.trace.joined(separator: "\n")) }
            guard let violation else { continue }
            Issue.record("seed \(seed): \(violation); replay: SIMULATION_SEED=\(seed) \(Self.command)")
            return
        }
    }

    @Test func aWorldWithoutFaultsAnswersWithResults() {
        var calls = 0
        var results = 0
        for seed in UInt64(1)...60 {
            var world = VirtualWorld(seed: seed)
            #expect(world.run() == nil)
            calls += world.calls
            results += world.results
        }
        #expect(calls > 1000)
        #expect(results > calls / 4, "\(results) results of \(calls) calls")
    }

    @Test func noticesALostAnswer() {
        #expect(Self.violations(.loseAnswer(5)).contains { $0.hasPrefix("P1: client") })
    }

    @Test func noticesASecondAnswer() {
        #expect(Self.violations(.repeatAnswer(5)).contains { $0.hasPrefix("P1: a second") })
    }

    @Test func noticesAnAnswerMeantForAnother() {
        #expect(Self.violations(.swapNonces).contains { $0.hasPrefix("P2") })
    }

    @Test func noticesACallTooManyAtAWorker() {
        #expect(Self.violations(.hideASlot).contains { $0.hasPrefix("P5") })
    }

    private static func violations(_ sabotage: VirtualWorld.Sabotage) -> [String] {
        (UInt64(1)...20).compactMap { seed in
            var world = VirtualWorld(seed: seed)
            world.sabotage = sabotage
            return world.run()
        }
    }

    @Test func noticesACallThatIsSentTwice() {
        #expect(Self.violations(.repeatCalls).contains { $0.hasPrefix("P3") })
    }

    @Test func noticesADeadlineThatIsTooLate() {
        #expect(Self.violations(.stretchDeadlines).contains { $0.hasPrefix("P1: told") })
    }

    @Test func noticesAStopThatDoesNotEnd() {
        #expect(Self.violations(.loseSignals).contains { $0.hasPrefix("P1: nothing will ever") })
    }

    @Test func theSameSeedLivesThroughTheSameStory() {
        var first = VirtualWorld(seed: 42)
        var second = VirtualWorld(seed: 42)
        #expect(first.run() == second.run())
        #expect(first.calls == second.calls)
        #expect(first.results == second.results)
    }
}

/// Where the running seed of each block is written, so that a trap, which ends the whole process, names it too:
/// the file named by SIMULATION_SEED_FILE, one line a block.
enum SeedFile {
    private static let descriptor: Int32 = {
        guard let path = getenv("SIMULATION_SEED_FILE") else { return -1 }
        return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    }()

    static func note(_ seed: UInt64, block: Int) {
        guard self.descriptor >= 0 else { return }
        let digits = String(seed)
        let line = String(repeating: " ", count: max(0, 20 - digits.count)) + digits + "\n"
        _ = line.withCString { pwrite(self.descriptor, $0, 21, off_t(block) * 21) }
    }
}
