import Protocol

/// How log lines look.
///
///     2026-01-31T12:00:00.000Z info    worker.ready worker_id=worker_1… pid=77 slot=0
///     {"time":"2026-01-31T12:00:00.000Z","level":"info","event":"worker.ready","worker_id":"worker_1…",…}
///
/// A line is never longer than 8 KiB, its break included. Texts that others wrote are escaped in both forms, so that
/// neither a terminal nor what reads the JSON is surprised by them (protocol §7): a control character is `\x1b`, a
/// byte that is no UTF-8 `\xff`.
enum LogFormat {
    /// Bytes of a line outside its fields, at most: time, level, colours, the names of the first members.
    private static let frameBytes = 96
    /// Bytes around a field's name and value, and those of a number.
    private static let fieldBytes = 6
    private static let numberBytes = 24

    static func appendJSON(_ record: LogRecord, time: String, to output: inout [UInt8]) {
        var members: [JSONValue.Member] = [
            .init("time", .string(time)), .init("level", .string(record.level.rawValue)),
            .init("event", .string(record.event.description)),
        ]
        for field in self.fitted(record).fields {
            members.append(.init(field.key.description, field.value.json))
        }
        JSONValue.object(members).write(to: &output)
        output.append(0x0A)
    }

    static func appendText(_ record: LogRecord, time: String, colours: Bool, to output: inout [UInt8]) {
        let level = record.level.rawValue
        let padding = String(repeating: " ", count: max(0, 7 - level.count))
        var line = "\(time) \(self.coloured(level, record.level, colours))\(padding) \(record.event)"
        for field in self.fitted(record).fields { line += " \(field.key)=\(self.text(field.value))" }
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

    private static func text(_ value: LogValue) -> String {
        switch value {
        case .string(let text), .escaped(let text), .tail(let text):
            let isPlain = !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D }
            return isPlain ? text : "\"\(text.replacingQuotes())\""
        case .whole(let number): return String(number)
        case .number(let number): return String(number)
        case .bool(let flag): return String(flag)
        }
    }
}

// MARK: - Length

extension LogFormat {
    /// The record with its texts escaped, and the longest of them cut where the line would be too long.
    private static func fitted(_ record: LogRecord) -> LogRecord {
        var record = record
        var room = Excerpt.lineBytes - self.frameBytes - record.event.utf8CodeUnitCount
        var texts: [String] = []
        for index in record.fields.indices {
            room -= record.fields[index].key.utf8CodeUnitCount + self.fieldBytes
            guard let text = record.fields[index].value.text else {
                room -= self.numberBytes
                continue
            }
            let escaped = self.escaped(record.fields[index].value, text)
            record.fields[index].value.text = escaped
            texts.append(escaped)
        }
        // Most lines are short: theirs is not counted to the byte.
        guard texts.reduce(0, { $0 + 2 * $1.utf8.count }) > room else { return record }
        let sizes = texts.map(self.size)
        guard sizes.reduce(0, +) > room else { return record }
        let longest = self.longest(of: sizes, room: room)
        for index in record.fields.indices {
            guard let text = record.fields[index].value.text else { continue }
            let keepsEnd = record.fields[index].value.isTail
            record.fields[index].value.text = self.cut(text, to: longest, keepingEnd: keepsEnd)
        }
        return record
    }

    /// How long texts may be, so that all of them fit: short ones leave their room to long ones.
    private static func longest(of sizes: [Int], room: Int) -> Int {
        var (room, left) = (max(0, room), sizes.count)
        for size in sizes.sorted() {
            guard size * left <= room else { break }
            room -= size
            left -= 1
        }
        return room / max(1, left)
    }

    /// Of a text that will be cut anyway only the part is looked at that may be left of it.
    private static func escaped(_ value: LogValue, _ text: String) -> String {
        switch value {
        case .tail:
            Array(text.utf8.suffix(Excerpt.lineBytes)).withUnsafeBytes { Excerpt.escaped($0, limit: .max) }
        case .escaped: text
        case .string, .whole, .number, .bool: Excerpt.escaped(text, limit: Excerpt.lineBytes)
        }
    }

    /// Quotes and backslashes are written with a backslash before them.
    private static func size(_ text: String) -> Int {
        text.utf8.count + text.utf8.count { $0 == UInt8(ascii: "\"") || $0 == UInt8(ascii: "\\") }
    }

    /// The beginning or the end of a text that is longer than that, with `…` for what is missing.
    private static func cut(_ text: String, to longest: Int, keepingEnd: Bool) -> String {
        guard self.size(text) > longest else { return text }
        func count(_ scalars: some Sequence<Unicode.Scalar>) -> Int {
            var room = longest - "…".utf8.count
            var count = 0
            for scalar in scalars {
                room -= UTF8.width(scalar) + (scalar == "\"" || scalar == "\\" ? 1 : 0)
                guard room >= 0 else { break }
                count += 1
            }
            return count
        }
        let scalars = text.unicodeScalars
        return keepingEnd
            ? "…" + String(scalars.suffix(count(scalars.reversed())))
            : String(scalars.prefix(count(scalars))) + "…"
    }
}

extension LogValue {
    fileprivate var text: String? {
        get {
            switch self {
            case .string(let text), .escaped(let text), .tail(let text): text
            case .whole, .number, .bool: nil
            }
        }
        set {
            guard let newValue else { return }
            self = self.isTail ? .tail(newValue) : .escaped(newValue)
        }
    }

    fileprivate var isTail: Bool {
        if case .tail = self { return true }
        return false
    }
}

extension String {
    fileprivate func replacingQuotes() -> String {
        String(self.flatMap { $0 == "\"" ? ["\\", "\""] : [$0] })
    }
}
