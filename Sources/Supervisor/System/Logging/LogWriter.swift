import CLinux
import Glibc
import Protocol

/// The log: one event a line, as text for people or as JSON, through a bounded buffer that never waits.
///
/// Standard error may be a terminal that somebody stopped, a pipe nobody reads, a full disk: lines that cannot
/// be written are dropped and counted, and the count is written once there is room again. Floods of one event are cut
/// off before (`LogLimiter`).
final class LogWriter {
    private static let capacity = 1 << 20

    private let settings: Configuration.Logging
    private let format: Configuration.Logging.Format
    private let hasColours: Bool
    private var destination: Destination
    private var buffer = OutputBuffer()
    private var dropped = 0
    private var limiter = LogLimiter()
    /// gzip has failed, and that was said.
    private var cannotCompress = false

    private enum Destination {
        case file(LogFile)
        /// Standard error, opened anew without blocking, so that nobody who shares it is affected.
        case descriptor(Int32)
        /// Standard error is a socket (the journal's).
        case socket
        case none
    }

    /// - Throws: when the log file cannot be opened.
    init(_ settings: Configuration.Logging, environment: [String: String] = [:]) throws(SystemError) {
        self.settings = settings
        let isTerminal: Bool
        if let file = try Self.openFile(settings) {
            file.archive?.tidy()
            isTerminal = file.isTerminal
            self.destination = .file(file)
        } else {
            isTerminal = isatty(2) == 1
            self.destination = Self.openStandardError()
        }
        self.format = settings.format ?? (isTerminal ? .text : .json)
        // https://no-color.org: set, and not to an empty string.
        let isPlain = environment["NO_COLOR"].map { !$0.isEmpty } ?? false || environment["TERM"] == "dumb"
        self.hasColours = isTerminal && !isPlain
    }

    /// nil where the log goes to standard error.
    private static func openFile(_ settings: Configuration.Logging) throws(SystemError) -> LogFile? {
        guard let path = settings.file else { return nil }
        return try LogFile(path, rotatingAt: settings.rotateBytes, keep: settings.keep)
    }

    private static func openStandardError() -> Destination {
        let raw = Glibc.open("/proc/self/fd/2", O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_APPEND | O_NOCTTY)
        if raw >= 0 { return .descriptor(raw) }
        if errno == ENXIO { return .socket }
        // No /proc, or no right to open it again.
        return fcntl(2, F_GETFD) >= 0 ? .descriptor(2) : .none
    }

    /// SIGUSR1: the file was moved away, a new one is begun. Where that cannot be, the old one is gone on with.
    func reopen(at now: Instant = Clock.now) {
        guard case .file(let old) = self.destination, let path = self.settings.file else { return }
        self.flush(at: now)
        do throws(SystemError) {
            guard let new = try Self.openFile(self.settings) else { return }
            if old.isMidLine { self.dropUnfinishedLine() }
            self.destination = .file(new)
            self.write(
                LogRecord(level: .info, event: "log.reopened", fields: [("file", .string(path))]), at: now)
        } catch {
            let fields: [(key: StaticString, value: LogValue)] = [("error", .string("\(error)"))]
            self.write(LogRecord(level: .error, event: "log.reopen_failed", fields: fields), at: now)
        }
    }

    /// Its beginning is in another file.
    private func dropUnfinishedLine() {
        let count = self.buffer.withUnsent { bytes in
            bytes.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.count
        }
        self.buffer.drop(count)
        self.dropped += 1
    }

    func isLogged(_ level: LogLevel) -> Bool { level >= self.settings.level }

    /// Whether lines wait because the other side takes none.
    var isWaiting: Bool { !self.buffer.isEmpty }

    /// When there is something to say of lines that were left out; nil: there is nothing.
    var nextReport: Instant? { self.limiter.nextReport }
}

// MARK: - Lines

extension LogWriter {
    func write(_ record: LogRecord, at now: Instant = Clock.now) {
        guard self.isLogged(record.level) else { return }
        self.report(at: now)
        guard self.limiter.admits(record, at: now) else { return }
        self.take(record)
    }

    private func report(at now: Instant) {
        for record in self.limiter.report(at: now) { self.take(record) }
    }

    /// Once lines were dropped, half of the buffer must be free for more: else there would be one between every two
    /// drops, and its count.
    private func take(_ record: LogRecord) {
        guard self.buffer.count < (self.dropped == 0 ? Self.capacity : Self.capacity / 2) else {
            self.dropped += 1
            return
        }
        self.tellDropped()
        self.append(record)
    }

    private func tellDropped() {
        guard self.dropped > 0, self.buffer.count < Self.capacity / 2 else { return }
        let count = self.dropped
        self.dropped = 0
        self.append(LogRecord(level: .warning, event: "log.dropped", fields: [("lines", .integer(count))]))
    }

    private func append(_ record: LogRecord) {
        let time = Timestamp.text(millisecondsSince1970: Clock.wallMilliseconds)
        switch self.format {
        case .json: LogFormat.appendJSON(record, time: time, to: &self.buffer.bytes)
        case .text: LogFormat.appendText(record, time: time, colours: self.hasColours, to: &self.buffer.bytes)
        }
    }
}

// MARK: - Output

extension LogWriter {
    /// Writes what can be written without waiting.
    func flush(at now: Instant = Clock.now) {
        self.report(at: now)
        self.writeOut(at: now)
        self.tellDropped()
        self.tellOfRotation()
        self.writeOut(at: now)
    }

    private func writeOut(at now: Instant) {
        while !self.buffer.isEmpty {
            let written = self.buffer.withUnsent { self.writeOnce($0, at: now) }
            guard written > 0 else { return }
            self.buffer.drop(written)
        }
    }

    /// The service is not affected, and the log goes on; but it may not do so for long.
    private func tellOfRotation() {
        guard case .file(let file) = self.destination, let error = file.takeFailure() else { return }
        self.take(
            LogRecord(level: .error, event: "log.rotation_failed", fields: [("error", .string("\(error)"))]))
    }

    private func writeOnce(_ bytes: UnsafeRawBufferPointer, at now: Instant) -> Int {
        switch self.destination {
        case .file(let file):
            return file.write(bytes, at: now)
        case .descriptor(2):
            // Shared and blocking: only as much as a pipe takes at once, and only when it has room.
            var poll = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
            guard Glibc.poll(&poll, 1, 0) == 1, poll.revents & Int16(POLLOUT) != 0 else { return 0 }
            return Glibc.write(2, bytes.baseAddress, min(bytes.count, 4096))
        case .descriptor(let raw):
            return retryingInterrupts { Glibc.write(raw, bytes.baseAddress, bytes.count) }
        case .socket:
            return Glibc.send(2, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        case .none:
            return bytes.count
        }
    }

    /// At the end: waits a little for a slow reader, so that the last lines are not lost.
    func finish() {
        for _ in 0..<20 {
            self.flush()
            guard self.isWaiting else { return }
            usleep(10_000)
        }
    }
}

// MARK: - Compression

extension LogWriter {
    /// Whether there may be an old file to compress.
    var mayCompress: Bool {
        guard case .file(let file) = self.destination else { return false }
        return file.mayCompress
    }

    /// The next old file that is not compressed; nil when there is none, and until something has changed.
    func takeFileToCompress() -> (archive: LogArchive, number: Int)? {
        guard case .file(let file) = self.destination, let archive = file.takeArchiveToCompress(),
            let number = archive.nextToCompress
        else { return nil }
        return (archive, number)
    }

    /// - Parameter failure: why the file is as it was; said once, and the next one is tried after the next rotation.
    func compressionEnded(_ failure: String?) {
        guard let failure else {
            self.cannotCompress = false
            if case .file(let file) = self.destination { file.mayCompress = true }
            return
        }
        guard !self.cannotCompress else { return }
        self.cannotCompress = true
        self.write(
            LogRecord(level: .warning, event: "log.compression_failed", fields: [("error", .string(failure))])
        )
    }
}
