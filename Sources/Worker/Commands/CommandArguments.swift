import Protocol

/// A command line that cannot be carried out as written.
struct UsageError: Error, Equatable, CustomStringConvertible {
    var description: String

    init(_ description: String) { self.description = description }
}

/// The arguments of one command, taken apart: `--name VALUE`, `--name=VALUE`, `--flag` and words.
///
/// Everything is strict: an unknown option is refused with the nearest known one, and so is a second
/// occurrence. `--` ends the options.
struct CommandArguments {
    /// An option that a command knows.
    struct Option {
        var name: String
        /// What to write for its value in help; nil for a flag.
        var value: String?

        static func flag(_ name: String) -> Option { Option(name: name, value: nil) }
        static func value(_ name: String, _ value: String) -> Option { Option(name: name, value: value) }
    }

    private(set) var words: [String] = []
    private var values: [String: String] = [:]

    init(_ arguments: [String], options: [Option]) throws(UsageError) {
        let known = options + [.flag("--help")]
        var index = 0
        while index < arguments.count {
            let argument = arguments[index]
            index += 1
            if argument == "--" {
                self.words += arguments[index...]
                return
            }
            guard argument.hasPrefix("-"), argument != "-" else {
                self.words.append(argument)
                continue
            }
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0] == "-h" ? "--help" : String(parts[0])
            guard let option = known.first(where: { $0.name == name }) else {
                let hint = NearestName.find(name, in: known.map(\.name))
                throw UsageError("unknown option \(name)" + (hint.map { "; did you mean \($0)?" } ?? ""))
            }
            guard self.values[name] == nil else { throw UsageError("\(name) is given twice") }
            self.values[name] = try Self.value(of: option, inline: parts.count > 1 ? String(parts[1]) : nil) {
                guard index < arguments.count else { return nil }
                defer { index += 1 }
                return arguments[index]
            }
        }
    }

    private static func value(
        of option: Option, inline: String?, next: () -> String?
    ) throws(UsageError) -> String {
        guard let placeholder = option.value else {
            guard inline == nil else { throw UsageError("\(option.name) takes no value") }
            return ""
        }
        guard let value = inline ?? next(), !value.isEmpty else {
            throw UsageError("\(option.name) needs a value: \(option.name) \(placeholder)")
        }
        return value
    }

    /// The value of an option; nil when it was not given.
    subscript(_ name: String) -> String? { self.values[name] }

    func has(_ name: String) -> Bool { self.values[name] != nil }

    var asksForHelp: Bool { self.has("--help") }

    /// A whole number within bounds; nil when the option was not given.
    func integer(_ name: String, in range: ClosedRange<Int>) throws(UsageError) -> Int? {
        guard let text = self.values[name] else { return nil }
        guard let value = Int(text), range.contains(value) else {
            throw UsageError(
                "\(name): expected a whole number from \(range.lowerBound) to \(range.upperBound), found \(text)"
            )
        }
        return value
    }
}
