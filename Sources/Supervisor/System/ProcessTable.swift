import Glibc

/// What /proc says of processes.
enum ProcessTable {
    /// Visits the pid of every process.
    static func forEach(_ body: (Int32) -> Void) {
        guard let directory = opendir("/proc") else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let pid = Int32(name) { body(pid) }
        }
    }

    /// Whether a process was started with that `NAME=value` in its environment.
    static func environment(of pid: Int32, contains entry: [UInt8]) -> Bool {
        guard let bytes = self.read("/proc/\(pid)/environ") else { return false }
        return bytes.split(separator: 0).contains { $0.elementsEqual(entry) }
    }

    /// Anonymous resident memory of a process and its descendants, in bytes, and their processor time so far, in
    /// nanoseconds; nil when the process is gone.
    static func usage(ofTree pid: Int32) -> (residentBytes: Int64, processorTime: Nanoseconds)? {
        guard let own = self.usage(of: pid) else { return nil }
        var total = own
        var open = self.children(of: pid)
        var seen = 0
        while let child = open.popLast(), seen < 256 {
            seen += 1
            if let usage = self.usage(of: child) {
                total.residentBytes += usage.residentBytes
                total.processorTime += usage.processorTime
            }
            open += self.children(of: child)
        }
        return total
    }

    /// Threads of all processes that a real user has; processes that cannot be seen are not counted.
    static func threads(ofUser user: UInt32) -> Int {
        var threads = 0
        self.forEach { pid in
            guard let status = self.read("/proc/\(pid)/status") else { return }
            let text = String(decoding: status, as: UTF8.self)
            guard self.number(after: "Uid:", in: text) == Int64(user) else { return }
            threads += Int(self.number(after: "Threads:", in: text) ?? 1)
        }
        return threads
    }

    /// The capabilities that this process may use now, by their numbers.
    static var effectiveCapabilities: UInt64 {
        let status = String(decoding: self.read("/proc/self/status") ?? [], as: UTF8.self)
        return self.word(after: "CapEff:", in: status).flatMap { UInt64($0, radix: 16) } ?? 0
    }

    private static func usage(of pid: Int32) -> (residentBytes: Int64, processorTime: Nanoseconds)? {
        guard let status = self.read("/proc/\(pid)/status"), let time = self.processorTime(of: pid) else {
            return nil
        }
        let resident = self.number(after: "RssAnon:", in: String(decoding: status, as: UTF8.self)) ?? 0
        return (resident * 1024, time)
    }

    /// Processor time of a process alone so far, in ticks of mostly 10 ms; nil when it is gone.
    static func processorTime(of pid: Int32) -> Nanoseconds? {
        guard let stat = self.read("/proc/\(pid)/stat") else { return nil }
        // The name, in parentheses, may hold anything: what follows it is counted from its end.
        let fields =
            String(decoding: stat, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Int64(fields[11]), let system = Int64(fields[12]) else {
            return nil
        }
        let ticksPerSecond = Int64(sysconf(Int32(_SC_CLK_TCK)))
        return (user + system) * (1_000_000_000 / max(1, ticksPerSecond))
    }

    private static func number(after label: String, in text: String) -> Int64? {
        self.word(after: label, in: text).flatMap { Int64($0) }
    }

    private static func word(after label: String, in text: String) -> Substring? {
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix(label) }) else { return nil }
        return line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first
    }

    private static func children(of pid: Int32) -> [Int32] {
        guard let bytes = self.read("/proc/\(pid)/task/\(pid)/children") else { return [] }
        return String(decoding: bytes, as: UTF8.self).split(separator: " ").compactMap { Int32($0) }
    }

    /// A whole file of /proc, at most 1 MiB of it.
    private static func read(_ path: String) -> [UInt8]? {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return nil }
        let file = FileDescriptor(owning: raw)
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 16 * 1024)
        while content.count < 1 << 20,
            case .bytes(let count) = chunk.withUnsafeMutableBytes({ file.read(into: $0) })
        {
            content.append(contentsOf: chunk.prefix(count))
        }
        return content
    }
}
