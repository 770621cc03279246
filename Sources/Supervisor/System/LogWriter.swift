import CLinux
import Glibc
import Protocol

/// The log: one event a line, as text for people or as JSON, through a bounded buffer that never waits.
///
/// Standard error may be a terminal that somebody stopped, a pipe nobody reads, a full disk: lines that cannot
/// be written are dropped and counted, and the count is written once there is room again.
final class LogWriter {
    private static let capacity = 1 << 20

    private let level: LogLevel
    private let format: Configuration.Logging.Format
    private let path: String?
    private let hasColours: Bool
    private var destination: Destination
    private var buffer = OutputBuffer()
    private var dropped = 0

    private enum Destination {
        /// Standard error, opened anew without blocking, so that nobody who shares it is affected.
        case descriptor(Int32)
        /// Standard error is a socket (the journal's).
        case socket
        case none
    }

    /// - Throws: when the log file cannot be opened.
    init(_ settings: Configuration.Logging) throws(SystemError) {
        self.level = settings.level
        self.path = settings.file
        let isTerminal = settings.file == nil && isatty(2) == 1
        self.format = settings.format ?? (isTerminal ? .text : .json)
        self.hasColours = isTerminal && getenv("NO_COLOR") == nil
        self.destination = .none
        try self.open()
    }

    private func open() throws(SystemError) {
        let flags = O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_APPEND
        if let path = self.path {
            let raw = Glibc.open(path, flags | O_CREAT, 0o640)
            guard raw >= 0 else { throw SystemError("log file \(path)") }
            self.destination = .descriptor(raw)
            return
        }
        let raw = Glibc.open("/proc/self/fd/2", flags)
        if raw >= 0 {
            self.destination = .descriptor(raw)
        } else if errno == ENXIO {
            self.destination = .socket
        } else if fcntl(2, F_GETFD) >= 0 {
            self.destination = .descriptor(2)  // no /proc, or no right to open it again
        }
    }

    /// SIGUSR1: the file was moved away, a new one is begun.
    func reopen() {
        guard self.path != nil, case .descriptor(let old) = self.destination else { return }
        self.flush()
        do {
            try self.open()
            close(old)
        } catch {
            self.destination = .descriptor(old)
            self.write(LogRecord(level: .error, event: "log.reopen_failed", fields: [("error", .string("\(error)"))]))
        }
    }

    func isLogged(_ level: LogLevel) -> Bool { level >= self.level }

    /// Whether lines wait because the other side takes none.
    var isWaiting: Bool { !self.buffer.isEmpty }

    func write(_ record: LogRecord) {
        guard record.level >= self.level else { return }
        guard self.buffer.count < Self.capacity else {
            self.dropped += 1
            return
        }
        if self.dropped > 0 {
            let count = self.dropped
            self.dropped = 0
            self.append(LogRecord(level: .warning, event: "log.dropped", fields: [("lines", .integer(count))]))
        }
        self.append(record)
    }

    private func append(_ record: LogRecord) {
        let time = Timestamp.text(millisecondsSince1970: Clock.wallMilliseconds)
        switch self.format {
        case .json: LogFormat.appendJSON(record, time: time, to: &self.buffer.bytes)
        case .text: LogFormat.appendText(record, time: time, colours: self.hasColours, to: &self.buffer.bytes)
        }
    }

    /// Writes what can be written without waiting.
    func flush() {
        while !self.buffer.isEmpty {
            let written = self.buffer.withUnsent { self.writeOnce($0) }
            guard written > 0 else { return }
            self.buffer.drop(written)
        }
    }

    private func writeOnce(_ bytes: UnsafeRawBufferPointer) -> Int {
        switch self.destination {
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

/// How log lines look.
///
///     2026-01-31T12:00:00.000Z info  worker.ready worker_id=worker_1… pid=77 slot=0
///     {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"worker.ready","worker_id":"worker_1…",…}
enum LogFormat {
    static func appendJSON(_ record: LogRecord, time: String, to output: inout [UInt8]) {
        var members: [JSONValue.Member] = [
            .init("time", .string(time)), .init("level", .string(record.level.rawValue)),
            .init("event", .string(record.event.description)),
        ]
        for field in record.fields {
            members.append(.init(field.key.description, self.value(field.value)))
        }
        JSONValue.object(members).write(to: &output)
        output.append(0x0A)
    }

    static func appendText(_ record: LogRecord, time: String, colours: Bool, to output: inout [UInt8]) {
        let level = record.level.rawValue
        let padding = String(repeating: " ", count: max(0, 7 - level.count))
        var line = "\(time) \(self.coloured(level, record.level, colours))\(padding) \(record.event)"
        for field in record.fields { line += " \(field.key)=\(self.text(field.value))" }
        output.append(contentsOf: line.utf8)
        output.append(0x0A)
    }

    private static func coloured(_ text: String, _ level: LogLevel, _ colours: Bool) -> String {
        guard colours else { return text }
        let code =
            switch level {
            case .debug: "2"
            case .info: "32"
            case .warning: "33"
            case .error: "31"
            }
        return "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }

    private static func value(_ value: LogValue) -> JSONValue {
        switch value {
        case .string(let text): .string(text)
        case .whole(let number): .integer(number)
        case .number(let number): .double(number)
        case .bool(let flag): .bool(flag)
        }
    }

    private static func text(_ value: LogValue) -> String {
        switch value {
        case .string(let text):
            let escaped = Excerpt.escaped(text, limit: Excerpt.lineBytes)
            let isPlain = !escaped.isEmpty && escaped.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D }
            return isPlain ? escaped : "\"\(escaped.replacingQuotes())\""
        case .whole(let number): return String(number)
        case .number(let number): return String(number)
        case .bool(let flag): return String(flag)
        }
    }
}

extension String {
    fileprivate func replacingQuotes() -> String {
        String(self.flatMap { $0 == "\"" ? ["\\", "\""] : [$0] })
    }
}
