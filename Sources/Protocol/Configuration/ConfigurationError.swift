/// One thing that is wrong with a configuration.
///
///     supervisor.json5:7:13: pools[0].min_worker: unknown key; did you mean min_workers?
public struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The file; nil when it is no file's fault.
    public var file: String?
    public var location: SourceLocation?
    /// `pools[0].min_workers`, the name of a flag or of an environment variable; empty for the whole.
    public var path: String
    /// What was expected, or what is wrong.
    public var message: String
    /// What was probably meant.
    public var suggestion: String?

    public init(
        path: String, _ message: String, suggestion: String? = nil, at location: SourceLocation? = nil,
        file: String? = nil
    ) {
        self.file = file
        self.location = location
        self.path = path
        self.message = message
        self.suggestion = suggestion
    }

    public var line: Int? { self.location?.line }
    public var column: Int? { self.location?.column }

    /// One line: `FILE:LINE:COL: PATH: MESSAGE; did you mean SUGGESTION?`
    public var description: String {
        let place = [self.file, self.line.map(String.init), self.column.map(String.init)].compactMap { $0 }
        let parts = [place.joined(separator: ":"), self.path, self.message].filter { !$0.isEmpty }
        return parts.joined(separator: ": ") + (self.suggestion.map { "; did you mean \($0)?" } ?? "")
    }

    /// The form that `config.validate` answers with.
    public var value: JSONValue {
        var members: [JSONValue.Member] = [
            .init("path", .string(self.path)), .init("message", .string(self.message)),
        ]
        if let suggestion = self.suggestion { members.append(.init("suggestion", .string(suggestion))) }
        return .object(members)
    }
}
