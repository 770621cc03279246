import Glibc
import Protocol

/// How much memory this process has, from /proc.
struct ProcessMemory: Equatable {
    /// In pages.
    var virtual: Int
    var resident: Int
    /// In kB.
    var total: Int

    /// `{rss_mb, vms_mb, percent}`, or `{error}` where it cannot be known.
    static func report() -> JSONValue {
        do {
            let statm = try FileSystem.contents(of: "/proc/self/statm")
            let meminfo = try FileSystem.contents(of: "/proc/meminfo")
            guard let memory = ProcessMemory(statm: statm, meminfo: meminfo) else {
                return ["error": "/proc/self/statm or /proc/meminfo is not as expected"]
            }
            return memory.json
        } catch {
            return ["error": .string("\(error)")]
        }
    }

    /// - Parameters:
    ///   - statm: `size resident …` in pages.
    ///   - meminfo: `MemTotal: N kB` in its first line.
    init?(statm: [UInt8], meminfo: [UInt8]) {
        let pages = Self.numbers(statm)
        guard pages.count >= 2, let total = Self.numbers(meminfo.prefix { $0 != 0x0A }).first, total > 0
        else {
            return nil
        }
        self.virtual = pages[0]
        self.resident = pages[1]
        self.total = total
    }

    private static func numbers(_ text: some Sequence<UInt8>) -> [Int] {
        Array(text).split { $0 &- UInt8(ascii: "0") >= 10 }
            .compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    }

    private var json: JSONValue {
        let pageBytes = Double(sysconf(Int32(_SC_PAGESIZE)))
        func megabytes(_ pages: Int) -> Double {
            (Double(pages) * pageBytes / 1_048_576 * 100).rounded() / 100
        }
        let percent = Double(self.resident) * pageBytes / (Double(self.total) * 1024) * 100
        return [
            "rss_mb": .double(megabytes(self.resident)), "vms_mb": .double(megabytes(self.virtual)),
            "percent": .double((percent * 100).rounded() / 100),
        ]
    }
}
