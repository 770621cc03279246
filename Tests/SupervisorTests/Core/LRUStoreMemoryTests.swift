import Glibc
import Testing

@testable import Supervisor

/// What the store takes is what it is told it may take: within 15 %, whatever is put in, for however long.
///
///     swift test --filter LRUStoreMemoryTests        some times what fits, of each mix
///     PROMISES=long … -c release                     10 million keys
///
/// Each mix runs in a process of its own, so that nothing but the store grows.
@Suite struct LRUStoreMemoryTests {
    private typealias Store = LRUStore<UInt64>

    private static let isLong = getenv("PROMISES").map { String(cString: $0) } == "long"
    private static func keys(_ short: Int) -> Int { self.isLong ? 10_000_000 : short }

    /// Anonymous memory of this process, resident.
    private static var resident: Int64 {
        guard let file = try? FileDescriptor(opening: "/proc/self/status", O_RDONLY) else { return 0 }
        var bytes = [UInt8](repeating: 0, count: 8192)
        guard case .bytes(let count) = bytes.withUnsafeMutableBytes({ file.read(into: $0) }) else { return 0 }
        let text = String(decoding: bytes.prefix(count), as: UTF8.self)
        let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
        let kibibytes = line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int64($0) }
        return (kibibytes ?? 0) * 1024
    }

    /// Puts distinct keys, looks earlier ones up at random, and compares what is resident with the limit.
    ///
    /// - Parameters:
    ///   - megabytes: the limit of the store, in units of 2^20 bytes.
    ///   - size: bytes of the value of the entry of that number.
    private static func run(
        _ name: String, keyBytes: Int, keys: Int, megabytes: Int64 = isLong ? 64 : 16,
        _ size: (_ number: Int, _ random: inout SeededGenerator) -> Int
    ) {
        let limit = megabytes << 20
        var buffer = [UInt8](repeating: 7, count: 64 * 1024)
        var random = SeededGenerator(seed: 1)
        var store = Store(.init(entries: .max, bytes: limit, timeToLive: .seconds(1000)))
        let now = Instant(nanoseconds: 0)
        var growth: [Double] = []
        let before = Self.resident
        for number in 0..<keys {
            let valueBytes = size(number, &random)
            let other = Int.random(in: 0...number, using: &random)
            buffer.withUnsafeMutableBytes { all in
                let key = UnsafeRawBufferPointer(rebasing: all[..<keyBytes])
                all.storeBytes(of: number, as: Int.self)
                let isKept = store.put(
                    key, UnsafeRawBufferPointer(rebasing: all[..<valueBytes]), tag: 0, at: now)
                precondition(isKept && store.bytes <= limit)
                all.storeBytes(of: other, as: Int.self)
                _ = store.lookUp(key, at: now, staleFor: 0)
            }
            if number % (keys / 50) == 0 {
                growth.append(Double(Self.resident - before) / Double(limit))
            }
        }
        let (half, most) = (growth.suffix(growth.count / 2), growth.max() ?? 0)
        let shares = growth.enumerated().filter { $0.offset % 10 == 9 }.map { Int($0.element * 100) }
        print("LRUStore, \(name): \(keys) keys, resident \(shares) % of the limit, most \(most)")
        precondition(most < 1.15, "\(name): \(most) of the limit is resident")
        precondition((half.min() ?? 0) > 0.5, "it is full: \(half)")
        store._checkInvariants()
        store.removeAll()
        let left = Double(Self.resident - before) / Double(limit)
        precondition(left < 0.15, "\(name): \(left) of the limit is left of an empty store")
    }

    @Test func holdsResponses() async {
        await #expect(processExitsWith: .success) {
            Self.run("responses", keyBytes: 100, keys: Self.keys(90_000)) { _, _ in 400 }
        }
    }

    @Test(arguments: [1536, 3072])
    func holdsEmbeddings(valueBytes: Int) async {
        await #expect(processExitsWith: .success) { [valueBytes = valueBytes as Int] in
            Self.run("embeddings of \(valueBytes)", keyBytes: 60, keys: Self.keys(30_000)) { _, _ in
                valueBytes
            }
        }
    }

    @Test func holdsTinyEntries() async {
        await #expect(processExitsWith: .success) {
            Self.run("tiny ones", keyBytes: 8, keys: Self.keys(160_000), megabytes: Self.isLong ? 64 : 4) {
                _, _ in 8
            }
        }
    }

    @Test func holdsAnythingAtOnce() async {
        await #expect(processExitsWith: .success) {
            Self.run("any size", keyBytes: 60, keys: Self.keys(30_000)) { _, random in
                Int.random(in: 0..<(16 << Int.random(in: 0..<12, using: &random)), using: &random)
            }
        }
    }

    /// Holes that small ones leave between others fit no large new one.
    @Test func holdsSizesThatChangeOverTime() async {
        await #expect(processExitsWith: .success) {
            let sizes = [400, 3072, 24, 9000, 100, 1536]
            let keys = Self.keys(60_000)
            Self.run("changing sizes", keyBytes: 60, keys: keys) { number, _ in sizes[number * 12 / keys % 6]
            }
        }
    }
}
