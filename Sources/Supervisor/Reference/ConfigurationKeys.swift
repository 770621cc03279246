import Protocol

/// One key of the configuration, as the code that reads it describes it.
struct ConfigurationKey: Equatable {
    /// Such as `health.interval`; of a pool's keys `pools[].name`.
    var path: String
    /// What it is when it is not given; null: nothing.
    var standard: JSONValue
    /// What may be given, in the words of the error that refuses everything else.
    var expectation: String

    /// All keys, in the order in which they are read.
    ///
    /// The keys and their defaults are what the reader writes down of a configuration that nobody has changed. What it
    /// expects it says itself, when it is given what it cannot take: so neither can be other than what is read.
    static let all: [ConfigurationKey] = Self.keys(in: Configuration().document, [])

    private enum Step {
        case member(String)
        case element
    }

    private static func keys(in value: JSONValue, _ steps: [Step]) -> [ConfigurationKey] {
        switch value {
        case .object(let members) where !members.isEmpty:
            return members.flatMap { self.keys(in: $0.value, steps + [.member($0.name)]) }
        case .array(let elements) where elements.first?.objectValue != nil:
            return self.keys(in: elements[0], steps + [.element])
        default:
            return [
                ConfigurationKey(
                    path: self.path(steps, element: "[]"), standard: value,
                    expectation: self.expectation(steps, isOff: value == "off"))
            ]
        }
    }

    private static func path(_ steps: [Step], element: String) -> String {
        var path = ""
        for step in steps {
            switch step {
            case .member(let name): path += path.isEmpty ? name : ".\(name)"
            case .element: path += element
            }
        }
        return path
    }

    /// Gives the reader a list of lists: no key takes that, and of a list the elements are refused. Where it wants an
    /// object, that is given one of lists of lists.
    private static func expectation(_ steps: [Step], isOff: Bool) -> String {
        let path = self.path(steps, element: "[0]")
        let errors = self.refusals(of: [[]], steps)
        if let element = errors.first(where: { $0.path == "\(path)[0]" }) {
            return "list of: \(self.words(element))"
        }
        guard let error = errors.first(where: { $0.path == path }) else { return "" }
        let words = self.words(error)
        if words == "an object",
            let value = self.refusals(of: ["x": [[]]], steps).first(where: { $0.path == "\(path).x" })
        {
            return value.message.hasPrefix("expected") ? "object of: \(self.words(value))" : words
        }
        return isOff ? "\(words), or \"off\"" : words
    }

    /// `expected X, found Y`: X.
    private static func words(_ error: ConfigurationError) -> String {
        var words = error.message[...]
        if words.hasPrefix("expected ") { words = words.dropFirst("expected ".count) }
        if let end = words.range(ofLast: ", found ") { words = words[..<end] }
        return String(words)
    }

    private static func refusals(of value: JSONValue, _ steps: [Step]) -> [ConfigurationError] {
        var tree = value
        for step in steps.reversed() {
            switch step {
            case .member(let name): tree = .object([.init(name, tree)])
            case .element: tree = [tree]
            }
        }
        var configuration = Configuration()
        guard let parsed = JSON5Reader.read(tree.bytes).value else { return [] }
        return ConfigurationObject.read(parsed) { configuration.read(&$0) }
    }
}

extension Substring {
    /// Where a text begins for the last time.
    fileprivate func range(ofLast text: String) -> Index? {
        self.indices.reversed().first { self[$0...].hasPrefix(text) }
    }
}
