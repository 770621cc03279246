import Glibc
import Synchronization

@testable import Supervisor

/// Which worlds are run.
enum Seeds {
    static let blocks = 40

    static var isReplay: Bool { self.number("SIMULATION_SEED") != nil }

    /// The line that runs one world again, with its log.
    static func replay(_ seed: UInt64) -> String {
        "SIMULATION_SEED=\(seed) swift test --disable-xctest --filter SimulationTests.PromiseSimulationTests"
    }

    static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }

    /// The seeds of one block: all cores work on blocks, the loop inside costs no test each.
    static func ofBlock(_ block: Int) -> Range<UInt64> {
        if let seed = self.number("SIMULATION_SEED") { return block == 0 ? seed..<seed + 1 : 0..<0 }
        let blocks = UInt64(self.blocks)
        let perBlock = ((self.number("SIMULATION_SEEDS") ?? 200) + blocks - 1) / blocks
        let first = UInt64(block) * perBlock + 1
        return first..<first + perBlock
    }
}

/// In how many worlds each promise was put to the test.
struct Tally {
    private static let all = Mutex((tally: Tally(), blocks: 0))
    private var worlds = 0
    private var tested: [Promise: Int] = [:]

    mutating func add(_ promises: [Promise]) {
        self.worlds += 1
        for promise in promises { self.tested[promise, default: 0] += 1 }
    }

    /// Adds a block's; the last one prints the sum.
    static func report(_ tally: Tally) {
        self.all.withLock { all in
            all.tally.worlds += tally.worlds
            all.tally.tested.merge(tally.tested, uniquingKeysWith: +)
            all.blocks += 1
            if all.blocks == Seeds.blocks, !Seeds.isReplay { print(all.tally.text) }
        }
    }

    private var text: String {
        let promises = Promise.allCases.map { "\($0.rawValue) \(self.tested[$0] ?? 0)" }
        return "\(self.worlds) worlds; promises put to the test: \(promises.joined(separator: ", "))"
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
