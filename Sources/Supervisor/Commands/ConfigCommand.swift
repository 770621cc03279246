import Protocol

/// `supervisor config show|validate [FILE]`: what `serve` would run with, and all that is wrong with it (exit 2).
/// No supervisor is asked.
enum ConfigCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let action = arguments.positionals[0]
        guard ["show", "validate"].contains(action) else {
            let hint =
                NearestName.find(action, in: ["show", "validate"]).map { "; did you mean \($0)?" } ?? ""
            throw .usage("ACTION: expected show or validate, found \(Excerpt.escaped(action))\(hint)")
        }
        let environment = ProcessEnvironment.current
        let file = arguments.positionals.dropFirst().first ?? ServeSettings.file(environment)
        let settings = try self.settings(file, environment)
        Terminal.print(action == "show" ? self.text(settings.configuration) : "\(self.name(file)) is valid")
    }

    private static func settings(
        _ file: String?, _ environment: [String: String]
    ) throws(CommandFailure) -> ServeSettings {
        do throws(InvalidConfiguration) {
            return try ServeSettings.resolve(
                file: file, ConfigurationOverrides(environment: environment))
        } catch {
            throw .usage("\(self.name(file)) is refused\n\(error)")
        }
    }

    private static func name(_ file: String?) -> String { file ?? "the configuration without a file" }

    /// Every key with its value; secrets are not shown.
    static func text(_ configuration: Configuration) -> String {
        ConfigurationSecrets.hidden(in: configuration.document).bytes.withUnsafeBytes(JSONIndentation.text)
    }
}
