/// What of a configuration is never shown: the values of `env`, and those of keys whose name says that they are
/// secret (protocol §3).
///
///     {"env": {"A": "x"}, "api_key": 5, "depth": 5}  →  {"env": {"A": "…"}, "api_key": "…", "depth": 5}
public enum ConfigurationSecrets {
    private static let words = ["key", "token", "secret", "password"]
    private static let placeholder = JSONValue.string("…")

    private static func isSecret(_ name: some StringProtocol) -> Bool {
        let name = name.lowercased()
        return self.words.contains { name.contains($0) }
    }

    /// Whether what stands at a path such as `pools[0].env.HOME` is secret.
    public static func hides(path: String) -> Bool {
        path.split { ".[]\"".contains($0) }.contains { $0 == "env" || self.isSecret($0) }
    }

    /// A configuration as it may be shown.
    public static func hidden(in value: JSONValue) -> JSONValue {
        self.map(value) { $0.isNull ? $0 : self.placeholder }
    }

    /// A configuration without its secrets, for those who would take a placeholder for a value.
    public static func removed(from value: JSONValue) -> JSONValue { self.map(value) { _ in nil } }

    /// - Parameter replace: what stands for a secret; nil: nothing does.
    private static func map(_ value: JSONValue, _ replace: (JSONValue) -> JSONValue?) -> JSONValue {
        switch value {
        case .null, .bool, .integer, .double, .string: return value
        case .array(let elements): return .array(elements.map { self.map($0, replace) })
        case .object(let members):
            return .object(
                members.compactMap { member in
                    let shown: JSONValue?
                    if self.isSecret(member.name) {
                        shown = replace(member.value)
                    } else if member.name == "env", case .object(let variables) = member.value {
                        shown = .object(
                            variables.compactMap { variable in
                                replace(variable.value).map { JSONValue.Member(variable.name, $0) }
                            })
                    } else {
                        shown = member.name == "env" ? replace(member.value) : self.map(member.value, replace)
                    }
                    return shown.map { JSONValue.Member(member.name, $0) }
                })
        }
    }
}
