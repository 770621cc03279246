import Glibc

/// An old log on its way to its `.gz`: a gzip of the lowest priority reads it and writes another file, which takes its
/// place when it is whole. A rotation in between may change the number; the file is known by its inode.
final class LogCompression {
    let pid: Int32
    /// Readable when gzip has ended.
    let pidfd: FileDescriptor
    var registration: EventLoop<Source>.Registration?
    private let archive: LogArchive
    private let original: FileStatus

    private init(_ process: consuming BareProcess, _ archive: LogArchive, _ original: FileStatus) {
        self.pid = process.pid
        self.pidfd = process.pidfd
        self.archive = archive
        self.original = original
    }

    /// - Parameters:
    ///   - environment: the supervisor's, for PATH.
    ///   - cookie: by which the guardian knows every process of this supervisor.
    /// - Returns: nil where there is no gzip.
    static func start(
        _ archive: LogArchive, _ number: Int, spawner: ProcessSpawner, environment: [String: String],
        cookie: String
    ) throws -> LogCompression? {
        guard let program = try? ProcessSpawner.resolve("gzip", environment: environment) else { return nil }
        let input = try FileDescriptor(opening: archive.plain(number), O_RDONLY)
        let info = try input.status()
        let output = try FileDescriptor.create(archive.unfinished, like: info)
        let nowhere = try FileDescriptor(opening: "/dev/null", O_RDWR)
        var image = ProgramImage(command: [program, "-c"], environment: [Guardian.cookieName: cookie])
        image.environment["PATH"] = environment["PATH"]
        let process = try spawner.spawn(image, input: input, output: output, errors: nowhere)
        // Whoever asks a worker for something comes first.
        setpriority(Int32(PRIO_PROCESS.rawValue), UInt32(process.pid), 19)
        return LogCompression(process, archive, info)
    }

    /// gzip has ended and was reaped.
    ///
    /// - Returns: why the file is as it was; nil when it is compressed.
    func end(_ status: ExitStatus) -> String? {
        guard status == .exited(code: 0) else {
            unlink(self.archive.unfinished)
            return "gzip \(status.sentence)"
        }
        // Rotated out meanwhile, or removed by somebody else.
        guard let number = self.archive.number(of: self.original) else {
            unlink(self.archive.unfinished)
            return nil
        }
        guard rename(self.archive.unfinished, self.archive.compressed(number)) == 0 else {
            return "\(SystemError("rename \(self.archive.unfinished)"))"
        }
        // Between these two a crash leaves both: the next start compresses it again.
        unlink(self.archive.plain(number))
        return nil
    }

    /// The supervisor stops: the next start compresses it.
    func abort() {
        kill(-self.pid, SIGKILL)
        _ = self.pidfd.wait(for: .seconds(1))
        _ = ChildExit.reap(self.pidfd)
        unlink(self.archive.unfinished)
    }
}
