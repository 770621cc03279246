import Glibc
import Protocol

/// A supervisor that is started for one measurement, on a socket in a directory of its own, and leaves nothing behind.
///
/// It is killed with the process that started it, and its guardian then kills its workers: nothing is orphaned,
/// however the measurement ends.
final class BenchServer {
    /// How long the workers may take to get ready.
    private static let startPatience = Nanoseconds.seconds(60)
    /// Longer than the supervisor waits for its workers.
    private static let stopPatience = Nanoseconds.seconds(30)
    private static let pause = Nanoseconds.milliseconds(10)
    /// Those of the configuration must not change what is measured.
    private static let variables = ["SUPERVISOR_CONFIG", "SUPERVISOR_SOCKET", "SUPERVISOR_LOG_LEVEL"]

    let socket: String
    private let directory: String
    private let pid: Int32
    private let pidfd: FileDescriptor
    private var isStopped = false

    /// Starts `serve` with that worker command, and a configuration of defaults.
    ///
    /// - Parameter program: the binary.
    init(
        _ command: [String], workers: Int, program: String = ProcessSpawner.ownProgram,
        spawner: ProcessSpawner = ProcessSpawner()
    ) throws(CommandFailure) {
        var template = Array("/tmp/supervisor-bench-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template).map({ String(cString: $0) }) else {
            throw .failed("no directory for the socket: \(SystemError("mkdtemp"))")
        }
        let socket = "\(path)/s"
        let arguments = [
            program, "serve", "--socket", socket, "--workers", "\(workers)", "--log-level", "warning",
            "--log-format", "text", "--",
        ]
        let environment = ProcessEnvironment.current.filter { !Self.variables.contains($0.key) }
        let image = ProgramImage(command: arguments + command, environment: environment)
        do {
            let null = try FileDescriptor(opening: "/dev/null", O_RDWR)
            let log = try FileDescriptor(opening: "\(path)/log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
            let process = try spawner.spawn(image, input: null, output: null, errors: log)
            self.pid = process.pid
            self.pidfd = process.pidfd
        } catch {
            Self.remove(path)
            throw .failed("no supervisor could be started: \(error)")
        }
        self.directory = path
        self.socket = socket
    }

    deinit { self.stop() }

    /// Waits until all workers are ready.
    ///
    /// - Throws: exit code 1 with the last of the supervisor's log, when it ends or takes too long.
    func waitUntilHealthy(unlessInterrupted signals: borrowing SignalQueue) throws(CommandFailure) {
        let deadline = Clock.now.advanced(by: Self.startPatience)
        while Clock.now < deadline {
            // Nothing listens yet, or it is not done: in both cases it is asked again.
            let target = try? BenchTarget([self.socket])
            if target?.isHealthy == true { return }
            guard target?.hasQuarantine != true else {
                throw .failed("the workers cannot be started\(self.logTail)")
            }
            guard !self.pidfd.wait(for: 0) else {
                throw .failed("the supervisor ended at its start\(self.logTail)")
            }
            if signals.descriptor.wait(for: Self.pause), signals.next() != nil {
                throw .failed("interrupted")
            }
        }
        throw .failed(
            "the workers are not ready after \(DurationText.text(Self.startPatience))\(self.logTail)")
    }

    private var logTail: String {
        guard let file = try? FileDescriptor(opening: "\(self.directory)/log", O_RDONLY),
            let size = try? file.status().size
        else { return "" }
        var bytes = [UInt8](repeating: 0, count: Int(min(size, 4096)))
        let offset = size - Int64(bytes.count)
        _ = try? bytes.withUnsafeMutableBytes { try file.read(into: $0, at: offset) }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").suffix(5)
        return lines.map { "\n  \(Excerpt.escaped(String($0), limit: 1000))" }.joined()
    }

    /// Ends it and its workers, and removes the directory.
    func stop() {
        guard !self.isStopped else { return }
        self.isStopped = true
        kill(self.pid, SIGTERM)
        if !self.pidfd.wait(for: Self.stopPatience) {
            kill(self.pid, SIGKILL)
            _ = self.pidfd.wait(for: .seconds(5))
        }
        _ = ChildExit.reap(self.pidfd)
        Self.remove(self.directory)
    }

    private static func remove(_ directory: String) {
        for name in ["s", "s.lock", "log"] { unlink("\(directory)/\(name)") }
        rmdir(directory)
    }
}
