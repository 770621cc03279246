import Glibc
import Protocol

/// A worker that behaves as badly as it is told to: `fixture_worker.py` once more, in Swift. What both can do is
/// listed in README.md beside them.
@main
struct FixtureWorker {
    nonisolated static func main() {
        guard let options = Options(CommandLine.arguments.dropFirst()) else { exit(2) }
        if options.listsModes {
            print(
                (Options.flagNames.map { "flag \($0)" } + Actions.names.map { "method \($0)" })
                    .joined(separator: "\n"))
            exit(0)
        }
        Self.start(options)
        Serving(options).run()
    }

    /// What happens before the first line is read.
    private static func start(_ options: Options) {
        if let text = options.stderr { Output.writeErrors("\(text)\n") }
        PIDFile.note(getpid(), in: options.pids)
        for kind in options.grandchildren { Grandchild.start(inSessionOfItsOwn: kind == "setsid", options) }
        if let code = options.exit { _exit(code) }
        if options.ignoresTerminate { signal(SIGTERM, SIG_IGN) }
        for count in 0..<options.banner {
            Output.writeLine("*** welcome to the fixture, line \(count) ***")
        }
        usleep(UInt32(options.readyAfter * 1e6))
    }
}

/// The file that `--pids` names.
enum PIDFile {
    static func note(_ pid: Int32, in path: String?) {
        guard let path else { return }
        LogFile(path).append(Array("\(pid)\n".utf8))
    }
}

/// A file that lines are appended to, each in one write.
struct LogFile {
    private let descriptor: Int32

    init(_ path: String) {
        self.descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
    }

    func append(_ bytes: [UInt8]) {
        _ = bytes.withUnsafeBytes { write(self.descriptor, $0.baseAddress, $0.count) }
    }
}

/// A process that sleeps for an hour.
enum Grandchild {
    /// POSIX_SPAWN_SETSID of glibc, which the Glibc module does not show.
    private static let newSession: Int16 = 0x80

    static func start(inSessionOfItsOwn: Bool, _ options: Options) {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if inSessionOfItsOwn { posix_spawnattr_setflags(&attributes, Self.newSession) }
        var pid: Int32 = 0
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("3600"), nil]
        defer { arguments.forEach { free($0) } }
        guard posix_spawnp(&pid, "sleep", &actions, &attributes, &arguments, environ) == 0 else { return }
        PIDFile.note(pid, in: options.pids)
    }
}
