import Glibc
import Protocol

/// How much memory this process has, from /proc.
struct ProcessMemory: Equatable {
    /// In pages.
    var virtual: Int
    var resident: Int
    /// In kB.
    var total: Int

    /// The files are a line and fifty; what is asked for stands in the first.
    private static let firstLineBytes = 256
    private static let statm = Result { () throws(SystemError) in try KernelFile(path: "/proc/self/statm") }
    /// Read once: it stays as it is, and the kernel gathers fifty figures for it at each read.
    private static let meminfo = Result { () throws(SystemError) in
        try KernelFile(path: "/proc/meminfo").contents(limit: Self.firstLineBytes)
    }

    /// `{rss_mb, vms_mb, percent}`, or `{error}` where it cannot be known.
    static func report() -> JSONValue {
        do throws(SystemError) {
            let statm = try self.statm.get().contents(limit: self.firstLineBytes)
            guard let memory = ProcessMemory(statm: statm, meminfo: try self.meminfo.get()) else {
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

    /// The numbers in a text; those of the kernel fit.
    private static func numbers(_ text: some Sequence<UInt8>) -> [Int] {
        var numbers: [Int] = []
        var isInside = false
        for byte in text {
            let digit = byte &- UInt8(ascii: "0")
            defer { isInside = digit < 10 }
            guard digit < 10 else { continue }
            if !isInside { numbers.append(0) }
            numbers[numbers.count - 1] = numbers[numbers.count - 1] &* 10 &+ Int(digit)
        }
        return numbers
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
