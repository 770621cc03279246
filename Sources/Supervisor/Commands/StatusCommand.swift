import Glibc
import Protocol

/// `supervisor status [--json] [--watch]`: exit 0 healthy, 1 degraded, unavailable or no answer, 3 not running.
enum StatusCommand {
    private static let patience = Nanoseconds.seconds(5)

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        while true {
            let status = try self.fetch(arguments)
            let text = arguments.flag("json") ? status.text : StatusTable.text(status)
            let isWatching = arguments.flag("watch")
            // Home, the new picture, and what is left of the old one erased: no flicker.
            Terminal.print(isWatching && !arguments.flag("json") ? "\u{1b}[H\(text)\u{1b}[J" : text)
            guard isWatching else {
                guard status["status"] == "healthy" else { throw CommandFailure(exitCode: 1, message: "") }
                return
            }
            sleep(1)
        }
    }

    private static func fetch(_ arguments: ParsedArguments) throws(CommandFailure) -> JSONValue {
        var client = try ControlClient.connect(arguments)
        let answer = try Answer(client.call("supervisor.status", timeout: self.patience))
        if let error = answer.errorSentence { throw .failed(error) }
        return answer.result ?? .null
    }
}

/// `supervisor.status` for a tired person: the verdict first, then why, then one line a worker.
enum StatusTable {
    private static let columns: [(title: String, isNumber: Bool)] = [
        ("SLOT", true), ("WORKER", false), ("PID", true), ("STATE", false), ("CALLS", true), ("SERVED", true),
        ("ERRORS", true), ("P50", true), ("P99", true), ("MEMORY", true), ("CPU", true), ("UPTIME", true),
        ("RESTARTS", true), ("LAST EXIT", false),
    ]

    static func text(_ status: JSONValue) -> String {
        var lines = [self.headline(status)]
        for reason in status["reasons"]?.arrayValue ?? [] {
            lines.append("  ! \(Excerpt.escaped(reason.stringValue ?? "", limit: 1000))")
        }
        for pool in status["pools"]?.arrayValue ?? [] {
            lines.append("")
            lines.append(self.poolLine(pool))
            lines += self.table(pool["workers"]?.arrayValue ?? [])
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func headline(_ status: JSONValue) -> String {
        let uptime = self.duration(status["uptime_seconds"]?.doubleValue)
        return "supervisor \(self.word(status["version"])): \(self.word(status["status"]).uppercased()), "
            + "pid \(self.word(status["pid"])), up \(uptime), "
            + "\(self.word(status["connections"])) connections, \(self.word(status["socket"]))"
    }

    private static func poolLine(_ pool: JSONValue) -> String {
        let (low, high) = (self.word(pool["min_workers"]), self.word(pool["max_workers"]))
        return "pool \(self.word(pool["name"])): \(self.word(pool["status"])), "
            + "\(low == high ? low : "\(low) to \(high)") workers, \(self.word(pool["strategy"])), "
            + "\(self.word(pool["queue_depth"])) queued"
    }

    private static func table(_ workers: [JSONValue]) -> [String] {
        let rows = [self.columns.map(\.title)] + workers.map(self.row)
        let widths = self.columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines: [String] = []
        for (index, row) in rows.enumerated() {
            let cells = self.columns.indices.map { column in
                let padding = String(repeating: " ", count: widths[column] - row[column].count)
                return self.columns[column].isNumber ? padding + row[column] : row[column] + padding
            }
            lines.append("  " + cells.joined(separator: "  ").trimmingTrailingSpaces())
            if index > 0, let reason = workers[index - 1]["reason"]?.stringValue {
                lines.append("        ↳ \(Excerpt.escaped(reason, limit: 1000))")
            }
        }
        return lines
    }

    private static func row(_ worker: JSONValue) -> [String] {
        [
            self.word(worker["slot"]), self.word(worker["worker_id"]), self.word(worker["pid"]),
            self.word(worker["state"]),
            "\(self.word(worker["in_flight"]))/\(self.word(worker["max_concurrency"]))",
            self.word(worker["served"]), self.word(worker["errors"]),
            self.milliseconds(worker["p50_ms"]), self.milliseconds(worker["p99_ms"]),
            self.bytes(worker["rss_bytes"]),
            worker["cpu_percent"]?.doubleValue.map { "\(Self.rounded($0, 1)) %" } ?? "-",
            self.duration(worker["uptime_seconds"]?.doubleValue), self.word(worker["restarts"]),
            self.lastExit(worker["last_exit"]),
        ]
    }

    private static func lastExit(_ exit: JSONValue?) -> String {
        guard let exit, !exit.isNull else { return "-" }
        let how =
            exit["signal"]?.stringValue ?? exit["code"]?.integerValue.map { "code \($0)" } ?? "not started"
        return
            "\(how), \(Excerpt.escaped(exit["reason"]?.stringValue ?? "", limit: 100)), \(self.word(exit["at"]))"
    }

    static func word(_ value: JSONValue?) -> String {
        switch value {
        case .string(let text)?: Excerpt.escaped(text, limit: 200)
        case nil, .null?: "-"
        case let other?: other.text
        }
    }

    private static func milliseconds(_ value: JSONValue?) -> String {
        guard let number = value?.doubleValue else { return "-" }
        return number < 10 ? "\(self.rounded(number, 2)) ms" : "\(self.rounded(number, 0)) ms"
    }

    static func bytes(_ value: JSONValue?) -> String {
        guard let number = value?.doubleValue else { return "-" }
        let mebibytes = number / 1_048_576
        return mebibytes < 1024
            ? "\(self.rounded(mebibytes, 1)) MiB" : "\(self.rounded(mebibytes / 1024, 2)) GiB"
    }

    private static func duration(_ seconds: Double?) -> String {
        guard let seconds, seconds.isFinite else { return "-" }
        let whole = Int(seconds)
        if whole < 60 { return "\(whole)s" }
        if whole < 3600 { return "\(whole / 60)m\(whole % 60)s" }
        if whole < 86_400 { return "\(whole / 3600)h\(whole / 60 % 60)m" }
        return "\(whole / 86_400)d\(whole / 3600 % 24)h"
    }

    /// With a fixed number of decimals.
    static func rounded(_ value: Double, _ decimals: Int) -> String {
        let factor = (0..<decimals).reduce(1.0) { result, _ in result * 10 }
        let scaled = Int64((value * factor).rounded())
        guard decimals > 0 else { return "\(scaled)" }
        let fraction = "\(scaled % Int64(factor))"
        return "\(scaled / Int64(factor))."
            + String(repeating: "0", count: max(0, decimals - fraction.count)) + fraction
    }
}

extension String {
    fileprivate func trimmingTrailingSpaces() -> String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
