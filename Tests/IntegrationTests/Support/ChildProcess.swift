import Glibc

@testable import Supervisor

/// A started program whose output goes to files, so that nobody has to read along. It is killed, with its group,
/// when its owner goes.
final class ChildProcess {
    let pid: Int32
    let command: [String]
    private let process: SpawnedProcess
    private let directory: TestDirectory
    private let errorsPath: String
    private let outputPath: String
    private(set) var status: ExitStatus?

    /// - Parameters:
    ///   - environment: nil: that of the tests, without what would lead the program elsewhere.
    ///   - directory: where it runs; nil: a directory of its own.
    ///   - descriptorLimit: its hard and soft RLIMIT_NOFILE.
    init(
        _ command: [String], environment: [String: String]? = nil, input: [UInt8] = [],
        directory: String? = nil, descriptorLimit: Int? = nil
    ) throws {
        self.directory = try TestDirectory()
        self.command = command
        self.outputPath = self.directory.file("out")
        self.errorsPath = self.directory.file("err")
        let inputPath = try self.directory.write(input, to: "in")
        let limit = descriptorLimit.map { "ulimit -n \($0); " } ?? ""
        let script = "\(limit)exec \"$@\" <'\(inputPath)' >'\(self.outputPath)' 2>'\(self.errorsPath)'"
        var spawner = ProcessSpawner()
        spawner.deathSignal = 0  // threads of tests come and go
        let image = ProgramImage(
            command: ["/bin/sh", "-c", script, "sh"] + command,
            environment: environment ?? Self.environment, directory: directory ?? self.directory.path)
        self.process = try spawner.spawn(image)
        self.pid = self.process.pid
    }

    deinit {
        guard self.wait(for: 0) == nil else { return }
        Glibc.kill(-self.pid, SIGKILL)
        Glibc.kill(self.pid, SIGKILL)
        _ = self.wait(for: 5)
    }

    /// The tests' environment, without the variables that a supervisor heeds.
    static let environment = ProcessEnvironment.current.filter {
        !$0.key.hasPrefix("SUPERVISOR_") && !$0.key.hasPrefix("WORKER_") && $0.key != "XDG_RUNTIME_DIR"
            && $0.key != "PROJECT_ROOT" && $0.key != "SWIFT_BACKTRACE"
    }

    var output: String { Files.text(self.outputPath) }
    var outputBytes: [UInt8] { Files.bytes(self.outputPath) }
    var errors: String { Files.text(self.errorsPath) }
    var isRunning: Bool { self.wait(for: 0) == nil }

    func signal(_ number: Int32) { Glibc.kill(self.pid, number) }

    /// nil when it still runs then.
    @discardableResult
    func wait(for seconds: Double) -> ExitStatus? {
        if let status = self.status { return status }
        guard self.process.pidfd.wait(for: Nanoseconds(seconds * 1e9)) else { return nil }
        self.status = ChildExit.reap(self.process.pidfd)
        return self.status
    }

    /// - Throws: when it still runs then.
    func exit(within seconds: Double = 10) throws -> ExitStatus {
        guard let status = self.wait(for: seconds) else {
            throw Failure(
                "\(self.command) still runs after \(seconds) s; it said: \(self.errors.suffix(2000))")
        }
        return status
    }
}

/// What a program that ran to its end left.
struct Command {
    var status: ExitStatus
    var output: String
    var errors: String
    var seconds: Double

    var exitCode: Int32? {
        guard case .exited(let code) = self.status else { return nil }
        return code
    }

    /// Runs a program to its end.
    static func run(
        _ command: [String], input: String = "", environment: [String: String]? = nil,
        directory: String? = nil, descriptorLimit: Int? = nil, within seconds: Double = 20
    ) throws -> Command {
        let watch = Stopwatch()
        let child = try ChildProcess(
            command, environment: environment, input: Array(input.utf8), directory: directory,
            descriptorLimit: descriptorLimit)
        let status = try child.exit(within: seconds)
        return Command(status: status, output: child.output, errors: child.errors, seconds: watch.seconds)
    }
}

/// What /proc says of processes.
enum Processes {
    /// Whether there is such a process, and it is more than a zombie.
    static func isAlive(_ pid: Int32) -> Bool {
        guard let state = self.state(pid) else { return false }
        return state != "Z" && state != "X"
    }

    static func state(_ pid: Int32) -> Character? {
        Files.text("/proc/\(pid)/stat").split(separator: ")").last?.dropFirst().first
    }

    static func commandLine(of pid: Int32) -> [String] {
        Files.text("/proc/\(pid)/cmdline").split(separator: "\0", omittingEmptySubsequences: false)
            .map(String.init)
    }

    static func children(of pid: Int32) -> [Int32] {
        Files.text("/proc/\(pid)/task/\(pid)/children").split(separator: " ").compactMap { Int32($0) }
    }

    static func name(_ pid: Int32) -> String {
        Files.text("/proc/\(pid)/comm").split(separator: "\n").first.map(String.init) ?? ""
    }

    static func descriptorCount(of pid: Int32) -> Int { self.descriptors(of: pid).count }

    /// What the descriptors of a process are, such as `12 pipe:[4711]`.
    static func descriptors(of pid: Int32) -> [String] {
        guard let directory = opendir("/proc/\(pid)/fd") else { return [] }
        defer { closedir(directory) }
        var descriptors: [String] = []
        while let entry = readdir(directory) {
            guard entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) else { continue }
            let number = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            var target = [UInt8](repeating: 0, count: 256)
            let count = readlink("/proc/\(pid)/fd/\(number)", &target, target.count)
            descriptors.append("\(number) \(String(decoding: target.prefix(max(0, count)), as: UTF8.self))")
        }
        return descriptors
    }

    /// Resident memory.
    static func residentKilobytes(of pid: Int32) -> Int {
        let line = Files.lines("/proc/\(pid)/status").first { $0.hasPrefix("VmRSS:") } ?? ""
        return Int(line.filter(\.isNumber)) ?? 0
    }

    /// The soft and the hard limit of that name, as /proc writes them.
    static func limits(of pid: Int32, _ name: String) -> [String] {
        let line = Files.lines("/proc/\(pid)/limits").first { $0.hasPrefix(name) } ?? ""
        return line.dropFirst(name.count).split(separator: " ").prefix(2).map(String.init)
    }

    /// Processor time used since it started, in seconds; the kernel counts in hundredths.
    static func processorSeconds(of pid: Int32) -> Double {
        let fields = Files.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12 else { return 0 }
        return Double((Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0)) / 100
    }

    static func zombies(of pid: Int32) -> [Int32] {
        self.children(of: pid).filter { self.state($0) == "Z" }
    }

    /// All whose environment names that directory as their project's: workers, and what they started.
    static func ofProject(_ directory: String) -> [Int32] {
        guard let processes = opendir("/proc") else { return [] }
        defer { closedir(processes) }
        var found: [Int32] = []
        while let entry = readdir(processes) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let pid = Int32(name) else { continue }
            let environment = Files.text("/proc/\(pid)/environ").split(separator: "\0")
            if environment.contains("PROJECT_ROOT=\(directory)") { found.append(pid) }
        }
        return found
    }

    static func pids(in file: String) -> [Int32] { Files.lines(file).compactMap { Int32($0) } }
}
