import Protocol

/// What `supervisor serve` runs with: the defaults, overridden by the file, overridden by the environment,
/// overridden by the flags (protocol §7).
struct ServeSettings: Equatable, Sendable {
    var configuration: Configuration
    /// What it was made of.
    var source: ConfigurationSource

    /// - Parameters:
    ///   - arguments: those of `CommandSyntax.serve`.
    ///   - environment: an empty variable counts as unset.
    ///   - readFile: reads a whole file.
    /// - Throws: all that is wrong, in the file, the environment and the flags.
    static func resolve(
        _ arguments: ParsedArguments, environment: [String: String],
        readFile: ConfigurationLoader.FileReader = ConfigurationLoader.readFile
    ) throws(InvalidConfiguration) -> ServeSettings {
        try self.resolve(
            file: arguments.value("config") ?? self.file(environment),
            ConfigurationOverrides(arguments: arguments, environment: environment), readFile: readFile)
    }

    /// The file that the environment names.
    static func file(_ environment: [String: String]) -> String? {
        environment["SUPERVISOR_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// - Parameter file: nil: none is read.
    static func resolve(
        file: String?, _ overrides: ConfigurationOverrides,
        readFile: ConfigurationLoader.FileReader = ConfigurationLoader.readFile
    ) throws(InvalidConfiguration) -> ServeSettings {
        var source = ConfigurationSource(file: file, overrides: overrides)
        guard let file else { return try source.resolve() }
        let (document, errors) = ConfigurationLoader.document(of: file, readFile)
        if let document { source.document = document }
        return try source.resolve(errors)
    }
}
