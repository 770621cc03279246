/// Keeps floods out of the log: of an event about the same worker, or about the same user's clients, so many lines are
/// written in ten seconds, and so many of the event in all. The others are counted, and when the time is over one line
/// says how many they were.
///
///     … warning log.suppressed of=worker.stderr worker_id=worker_1… lines=81230
struct LogLimiter {
    static let window = Nanoseconds.seconds(10)

    /// What a worker writes to stderr is for people, and a trace of its program is long.
    static func limit(of event: String) -> Int {
        event == "worker.stderr" || event == "prepare.stdout" ? 1000 : 100
    }

    static let limitInAll = 4000

    private enum Subject: Hashable {
        case worker(String)
        case user(Int64)
        case none
    }

    private struct Key: Hashable {
        var event: String
        var subject: Subject
    }

    private struct Count {
        var written = 0
        var suppressed = 0
        var level = LogLevel.debug
    }

    /// Under `none` stands what is written of an event in all. At most `limitInAll` entries an event.
    private var counts: [Key: Count] = [:]
    private var windowEnd = Instant(nanoseconds: .min)
    private var hasSuppressed = false

    /// When there is something to report; nil: nothing was left out.
    var nextReport: Instant? { self.hasSuppressed ? self.windowEnd : nil }

    /// - Returns: false for a record that is not to be written.
    mutating func admits(_ record: LogRecord, at now: Instant) -> Bool {
        if now >= self.windowEnd, !self.hasSuppressed {
            self.counts.removeAll(keepingCapacity: true)
            self.windowEnd = now.advanced(by: Self.window)
        }
        let event = record.event.description
        let all = Key(event: event, subject: .none)
        let own = Key(event: event, subject: Self.subject(of: record))
        guard self.counts[all, default: Count()].written < Self.limitInAll else {
            return self.suppress(all, record.level)
        }
        guard self.counts[own, default: Count()].written < Self.limit(of: event) else {
            return self.suppress(own, record.level)
        }
        self.counts[all, default: Count()].written += 1
        if own != all { self.counts[own, default: Count()].written += 1 }
        return true
    }

    private mutating func suppress(_ key: Key, _ level: LogLevel) -> Bool {
        self.counts[key, default: Count()].suppressed += 1
        self.counts[key, default: Count()].level = max(level, self.counts[key]?.level ?? .debug)
        self.hasSuppressed = true
        return false
    }

    private static func subject(of record: LogRecord) -> Subject {
        for (key, value) in record.fields {
            switch (key.description, value) {
            case ("worker_id", .string(let id)): return .worker(id)
            case ("peer_uid", .whole(let uid)): return .user(uid)
            default: continue
            }
        }
        return .none
    }

    /// What was left out, once the ten seconds are over.
    mutating func report(at now: Instant) -> [LogRecord] {
        guard self.hasSuppressed, now >= self.windowEnd else { return [] }
        defer {
            self.counts.removeAll(keepingCapacity: true)
            self.hasSuppressed = false
        }
        return self.counts.filter { $0.value.suppressed > 0 }.map { key, count in
            var fields: [(key: StaticString, value: LogValue)] = [("of", .string(key.event))]
            switch key.subject {
            case .worker(let id): fields.append(("worker_id", .string(id)))
            case .user(let uid): fields.append(("peer_uid", .whole(uid)))
            case .none: break
            }
            fields.append(("lines", .integer(count.suppressed)))
            return LogRecord(level: count.level, event: "log.suppressed", fields: fields)
        }
    }
}
