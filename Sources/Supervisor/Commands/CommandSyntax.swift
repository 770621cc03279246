/// What one command of `supervisor` takes: the table that both its arguments and its help text are read from.
struct CommandSyntax: Sendable {
    /// `--name`, a flag, or `--name VALUE`.
    struct Option: Equatable, Sendable {
        /// Without the dashes.
        var name: String
        /// A letter that stands for it, as in `-h`.
        var short: Character?
        /// What the value is called in the help text; nil: a flag.
        var value: String?
        var help: String

        static func flag(_ name: String, short: Character? = nil, _ help: String) -> Option {
            Option(name: name, short: short, value: nil, help: help)
        }

        static func value(_ name: String, _ value: String, _ help: String) -> Option {
            Option(name: name, short: nil, value: value, help: help)
        }
    }

    /// An argument that is known by its place.
    struct Positional: Equatable, Sendable {
        var name: String
        var isRequired = true
        /// There may be more of them; only the last argument of a command.
        var isRepeated = false
        var help: String
    }

    /// What may follow `--`, taken as it is.
    struct Trailing: Equatable, Sendable {
        var name: String
        var help: String
    }

    var name: String
    /// One sentence.
    var summary: String
    var positionals: [Positional] = []
    var options: [Option]
    var trailing: Trailing?

    init(
        _ name: String, _ summary: String, positionals: [Positional] = [], options: [Option] = [],
        trailing: Trailing? = nil
    ) {
        self.name = name
        self.summary = summary
        self.positionals = positionals
        self.options = options + [.flag("help", short: "h", "show this text")]
        self.trailing = trailing
    }
}

// MARK: - The commands

extension CommandSyntax {
    static let all = [
        Self.serve, .status, .call, .stream, .restart, .drain, .scale, .reload, .stop, .cache, .config,
        .events, .check, .bench, .reference, .version, .help,
    ]

    private static let socket = Option.value(
        "socket", "PATH", "the supervisor's socket ($SUPERVISOR_SOCKET, else the default places)")

    static let serve = CommandSyntax(
        "serve", "Keep a pool of workers alive and answer JSON-RPC on a Unix socket, in the foreground.",
        options: [
            .value("config", "FILE", "read the configuration from FILE ($SUPERVISOR_CONFIG, else none)"),
            .value("socket", "PATH", "listen on PATH ($SUPERVISOR_SOCKET, else the first default place)"),
            .value("workers", "N", "number of workers of the first pool"),
            .value("strategy", "NAME", "round_robin, least_load or performance_based"),
            .value("log-level", "LEVEL", "debug, info, warning or error ($SUPERVISOR_LOG_LEVEL)"),
            .value("log-format", "FORMAT", "text or json (text on a terminal, else json)"),
        ],
        trailing: Trailing(name: "COMMAND [ARG…]", help: "the worker of the first pool"))

    static let status = CommandSyntax(
        "status", "Show the supervisor, its pools and its workers.",
        options: [
            .flag("json", "print the result of supervisor.status as it is"),
            .flag("watch", "show it again every second"), Self.socket,
        ])

    static let call = CommandSyntax(
        "call", "Call a method and print its result.",
        positionals: [
            Positional(name: "METHOD", help: "such as rag.execute"),
            Positional(name: "PARAMS", isRequired: false, help: "a JSON object or array"),
        ],
        options: [
            .value("metadata", "JSON", "the request's metadata, such as {\"priority\":\"high\"}"),
            .value("timeout", "DURATION", "give up after, such as 500ms, 5s or 2m"),
            .flag("raw", "print the whole response as it came"), Self.socket,
        ])

    static let stream = CommandSyntax(
        "stream",
        "Call a method that answers in parts, and print its answer as it grows. Ctrl-C cancels the call.",
        positionals: [
            Positional(name: "METHOD", help: "such as rag.stream"),
            Positional(name: "PARAMS", isRequired: false, help: "a JSON object or array, or - for stdin"),
        ],
        options: [
            .value("metadata", "JSON", "the request's metadata, such as {\"priority\":\"high\"}"),
            .value("timeout", "DURATION", "give up after, such as 500ms, 5s or 2m"),
            .flag("raw", "print every message as it came, one a line"), Self.socket,
        ])

    static let restart = CommandSyntax(
        "restart", "Exchange workers for new ones, one after the other, without losing a call.",
        positionals: [
            Positional(
                name: "WORKER", isRequired: false,
                help: "only this one: an id, a unique prefix of one, a pid or a slot number")
        ],
        options: [
            .flag("rolling", "all workers, as without WORKER"),
            .flag("wait", "return when the last replaced process has exited; exit 1 if a new one fails"),
            Self.socket,
        ])

    static let drain = CommandSyntax(
        "drain", "Give a worker no new calls and leave it alone, to be looked at, until it is restarted.",
        positionals: [
            Positional(name: "WORKER", help: "an id, a unique prefix of one, a pid or a slot number")
        ],
        options: [Self.socket])

    static let scale = CommandSyntax(
        "scale", "Set how many workers a pool has, until the next reload or restart of the supervisor.",
        positionals: [Positional(name: "N", help: "workers, at least and at most")],
        options: [.value("pool", "NAME", "the pool, where there are several"), Self.socket])

    static let reload = CommandSyntax(
        "reload", "Read the configuration again, and exchange all workers, one after the other.",
        options: [
            .flag("wait", "return when the last replaced process has exited; exit 1 if a new one fails"),
            Self.socket,
        ])

    static let stop = CommandSyntax(
        "stop", "Drain and stop the supervisor.",
        options: [.flag("wait", "return when every process has exited"), Self.socket])

    static let cache = CommandSyntax(
        "cache", "Show how full the caches are and how often they answer, or clear them.",
        positionals: [
            Positional(name: "ACTION", help: "stats or clear"),
            Positional(
                name: "TYPE", isRequired: false, help: "only this one: embedding, response or pipeline (all)"),
        ],
        options: [
            .flag("json", "print the figures, or the result of cache.clear, as they are"), Self.socket,
        ])

    static let config = CommandSyntax(
        "config", "Show the configuration that serve would run with, or say all that is wrong with it.",
        positionals: [
            Positional(name: "ACTION", help: "show or validate"),
            Positional(
                name: "FILE", isRequired: false, help: "in place of $SUPERVISOR_CONFIG; without both no file"),
        ])

    static let events = CommandSyntax(
        "events", "Print what happens, one line each, as it happens. Ctrl-C ends it.",
        positionals: [
            Positional(
                name: "TOPIC", isRequired: false, isRepeated: true,
                help: "such as worker.exited, pool.* or log (all but log)")
        ],
        options: [.flag("json", "print each event as a line of JSON"), Self.socket])

    static let check = CommandSyntax(
        "check", "Start a program, speak to it as a worker, and say what is good and what is wrong with it.",
        options: [.value("timeout", "DURATION", "how long it may take to get ready (60s)")],
        trailing: Trailing(name: "COMMAND [ARG…]", help: "the worker"))

    static let bench = CommandSyntax(
        "bench", "Put load on a supervisor, running or started for it, and measure. Release builds only.",
        options: [
            .value("connections", "N", "connections (8)"),
            .value("depth", "N", "calls that each has in flight, at most (1)"),
            .value("duration", "DURATION", "how long a round is measured (10s)"),
            .value("warmup", "DURATION", "how long calls are sent before that (1s)"),
            .value("rate", "N", "calls a second in all, timed from when each is due (else a closed loop)"),
            .value("method", "NAME", "what to call (health.check: every worker answers it, and no cache)"),
            .value("mix", "METHOD=WEIGHT,…", "several methods, such as rag.execute=9,ping=1"),
            .value("params", "JSON", "params of every call; $N in a string is a number of each call's own"),
            .value("size", "BYTES", "add a member payload of 512 or 64KiB, say, to the params"),
            .value("cache-hits", "SHARE", "share of calls with params of an earlier call, such as 0.9"),
            .value("rounds", "N", "measure so often, and print the median and the spread (1)"),
            .value("workers", "N", "workers of the supervisor that COMMAND starts (2)"),
            .value("suite", "NAME", "ipc: the acceptance run, PASS or FAIL a line; exit 1 if one fails"),
            .flag("json", "print the figures as JSON"),
            .value("save", "FILE", "keep the figures"),
            .value("compare", "FILE", "print the figures that were kept, and the ratios, beside"),
            Self.socket,
        ],
        trailing: Trailing(name: "COMMAND [ARG…]", help: "the worker of a supervisor that is started for it"))

    static let reference = CommandSyntax(
        "reference",
        "Print the reference of methods, errors, events, configuration and commands, as Markdown.")

    static let version = CommandSyntax("version", "Print the version.")

    static let help = CommandSyntax(
        "help", "Explain the commands, or one of them.",
        positionals: [Positional(name: "COMMAND", isRequired: false, help: "such as serve")])
}

// MARK: - Help text

extension CommandSyntax {
    static let program = "supervisor"

    /// `supervisor call METHOD [PARAMS] [OPTION…]`
    var usage: String {
        let positionals = self.positionals.map { positional in
            let name = positional.isRepeated ? "\(positional.name)…" : positional.name
            return positional.isRequired ? " \(name)" : " [\(name)]"
        }.joined()
        let trailing = self.trailing.map { " [-- \($0.name)]" } ?? ""
        return "\(Self.program) \(self.name)\(positionals) [OPTION…]\(trailing)"
    }

    /// The text of `supervisor help COMMAND`.
    var helpText: String {
        var rows = self.positionals.map { (term: $0.name, help: $0.help) }
        if let trailing = self.trailing { rows.append(("-- \(trailing.name)", trailing.help)) }
        rows += self.options.map { ($0.term, $0.help) }
        return "Usage: \(self.usage)\n\n\(self.summary)\n\n\(Self.table(rows))"
    }

    /// The text of `supervisor help`.
    static var overview: String {
        let rows = self.all.map { (term: $0.name, help: $0.summary) }
        return """
            Usage: \(self.program) COMMAND [OPTION…]

            Keeps a pool of worker processes alive and answers JSON-RPC 2.0 from a Unix socket.

            \(self.table(rows))
            `\(self.program) help COMMAND` explains one of them.

            """
    }

    private static func table(_ rows: [(term: String, help: String)]) -> String {
        let width = rows.map(\.term.count).max() ?? 0
        return rows.map { row in
            let padding = String(repeating: " ", count: width - row.term.count)
            return "  \(row.term)\(padding)  \(row.help)\n"
        }.joined()
    }
}

extension CommandSyntax.Option {
    /// As it is shown: `--socket PATH`, `-h, --help`.
    var term: String {
        let short = self.short.map { "-\($0), " } ?? ""
        return "\(short)--\(self.name)\(self.value.map { " \($0)" } ?? "")"
    }
}
