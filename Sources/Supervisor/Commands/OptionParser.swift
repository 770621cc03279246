import Protocol

/// Arguments that make no sense, in one sentence, with where to read more. Exit code 2.
struct UsageError: Error, Equatable, CustomStringConvertible {
    var message: String

    /// - Parameter command: the command that was meant; nil when that is what is not known.
    init(_ fault: String, command: CommandSyntax?) {
        let topic = command.map { " \($0.name)" } ?? ""
        self.message = "\(fault) (see `\(CommandSyntax.program) help\(topic)`)"
    }

    var description: String { self.message }
}

/// The arguments of one command, checked against its syntax.
struct ParsedArguments: Equatable, Sendable {
    fileprivate(set) var positionals: [String] = []
    /// What followed `--`; nil when there was none. Never empty.
    fileprivate(set) var trailing: [String]?
    fileprivate var values: [String: String] = [:]
    fileprivate var flags: Set<String> = []

    /// The value given for `--name`.
    func value(_ name: String) -> String? { self.values[name] }

    /// The duration given for `--name`.
    func duration(_ name: String) throws(CommandFailure) -> Nanoseconds? {
        guard let text = self.value(name) else { return nil }
        guard let duration = DurationText.nanoseconds(text), duration > 0 else {
            throw .usage(
                "--\(name): expected a duration such as 500ms, 5s or 2m, found \(Excerpt.escaped(text))")
        }
        return duration
    }

    /// Whether `--name` was given.
    func flag(_ name: String) -> Bool { self.flags.contains(name) }
}

/// What the command line asks for.
struct Invocation: Sendable {
    var command: CommandSyntax
    var arguments: ParsedArguments

    /// Reads all arguments behind the program's own name. `--help` and `--version` are understood in place of
    /// a command as well.
    static func parse(_ arguments: [String]) throws(UsageError) -> Invocation {
        guard let name = arguments.first else {
            throw UsageError("expected a command", command: nil)
        }
        let command = try CommandSyntax.named(name)
        let parsed = try command.parse(Array(arguments.dropFirst()))
        return Invocation(command: command, arguments: parsed)
    }
}

extension CommandSyntax {
    /// The command of that name.
    static func named(_ name: String) throws(UsageError) -> CommandSyntax {
        switch name {
        case "--help", "-h": return .help
        case "--version": return .version
        default: break
        }
        if let command = self.all.first(where: { $0.name == name }) { return command }
        let hint = NearestName.find(name, in: self.all.map(\.name)).map { "; did you mean \($0)?" } ?? ""
        throw UsageError("unknown command \(Excerpt.escaped(name))\(hint)", command: nil)
    }

    /// Reads the arguments behind the command's name.
    ///
    /// `--name value` and `--name=value` mean the same. A value that itself begins with two dashes must be
    /// written with `=`. `--` ends the options.
    func parse(_ arguments: [String]) throws(UsageError) -> ParsedArguments {
        var parsed = ParsedArguments()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                try self.takeTrailing(Array(rest), into: &parsed)
                break
            } else if argument.hasPrefix("-"), argument != "-" {
                try self.takeOption(argument, &rest, into: &parsed)
            } else {
                parsed.positionals.append(argument)
            }
        }
        // Whoever asks for help need not get the rest right.
        if !parsed.flag("help") { try self.check(parsed.positionals) }
        return parsed
    }

    private func takeTrailing(_ rest: [String], into parsed: inout ParsedArguments) throws(UsageError) {
        guard let trailing = self.trailing else {
            parsed.positionals += rest
            return
        }
        guard !rest.isEmpty, rest[0] != "" else {
            throw UsageError("expected \(trailing.name) behind --", command: self)
        }
        parsed.trailing = rest
    }

    private func takeOption(
        _ argument: String, _ rest: inout ArraySlice<String>, into parsed: inout ParsedArguments
    ) throws(UsageError) {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let written = String(parts[0])
        let option = try self.option(written)
        guard !parsed.flags.contains(option.name), parsed.values[option.name] == nil else {
            throw UsageError("--\(option.name) is given twice", command: self)
        }
        guard let placeholder = option.value else {
            guard parts.count == 1 else {
                throw UsageError("--\(option.name) takes no value", command: self)
            }
            parsed.flags.insert(option.name)
            return
        }
        if parts.count == 2 {
            parsed.values[option.name] = String(parts[1])
        } else if let next = rest.first, !next.hasPrefix("--") {
            parsed.values[option.name] = rest.removeFirst()
        }
        guard parsed.values[option.name]?.isEmpty == false else {
            throw UsageError("--\(option.name) needs a value: \(placeholder)", command: self)
        }
    }

    private func option(_ written: String) throws(UsageError) -> Option {
        let found =
            written.hasPrefix("--")
            ? self.options.first { "--\($0.name)" == written }
            : self.options.first { option in option.short.map { "-\($0)" } == written }
        if let found { return found }
        let name = String(written.drop { $0 == "-" })
        let hint =
            NearestName.find(name, in: self.options.map(\.name)).map { "; did you mean --\($0)?" } ?? ""
        throw UsageError("unknown option \(Excerpt.escaped(written))\(hint)", command: self)
    }

    private func check(_ positionals: [String]) throws(UsageError) {
        if positionals.count > self.positionals.count, self.positionals.last?.isRepeated != true {
            let extra = Excerpt.escaped(positionals[self.positionals.count])
            let hint = self.trailing.map { "; \($0.name) goes behind --" } ?? ""
            throw UsageError("unexpected argument \(extra)\(hint)", command: self)
        }
        let missing = self.positionals.dropFirst(positionals.count).first(where: \.isRequired)
        if let missing { throw UsageError("expected \(missing.name)", command: self) }
    }
}
