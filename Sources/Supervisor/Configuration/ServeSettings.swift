import Protocol

/// What `supervisor serve` runs with: the defaults, overridden by the file, overridden by the environment,
/// overridden by the flags (protocol §7).
struct ServeSettings: Equatable, Sendable {
    var configuration: Configuration
    /// The file that was read, to be read again by a reload; nil: none.
    var file: String?

    /// - Parameters:
    ///   - arguments: those of `CommandSyntax.serve`.
    ///   - environment: an empty variable counts as unset.
    ///   - readFile: reads a whole file.
    /// - Throws: all that is wrong, in the file, the environment and the flags.
    static func resolve(
        _ arguments: ParsedArguments, environment: [String: String],
        readFile: ConfigurationLoader.FileReader = ConfigurationLoader.readFile
    ) throws(InvalidConfiguration) -> ServeSettings {
        let environment = environment.filter { !$0.value.isEmpty }
        let file = arguments.value("config") ?? environment["SUPERVISOR_CONFIG"]
        var (configuration, errors) =
            file.map { ConfigurationLoader.load($0, readFile) } ?? (Configuration(), [])
        configuration.override(byEnvironment: environment, &errors)
        configuration.override(byFlags: arguments, &errors)
        guard errors.isEmpty else { throw InvalidConfiguration(errors: errors) }
        return ServeSettings(configuration: configuration, file: file)
    }
}

extension Configuration {
    fileprivate mutating func override(
        byEnvironment environment: [String: String], _ errors: inout [ConfigurationError]
    ) {
        func value<Value>(_ name: String, _ type: ConfigurationType<Value>) -> Value? {
            environment[name].flatMap { type.decode(word: $0, name, &errors) }
        }
        if let path = value("SUPERVISOR_SOCKET", .socketPath) { self.socket.path = path }
        if let level = value("SUPERVISOR_LOG_LEVEL", .logLevel) { self.logging.level = level }
        if let size = value("EMBEDDING_CACHE_SIZE", .cacheSize) { self.cache.embeddingCacheSize = size }
    }

    fileprivate mutating func override(
        byFlags arguments: ParsedArguments, _ errors: inout [ConfigurationError]
    ) {
        func value<Value>(_ name: String, _ type: ConfigurationType<Value>) -> Value? {
            arguments.value(name).flatMap { type.decode(word: $0, "--\(name)", &errors) }
        }
        if let path = value("socket", .socketPath) { self.socket.path = path }
        if let level = value("log-level", .logLevel) { self.logging.level = level }
        if let format: Logging.Format = value("log-format", .word()) { self.logging.format = format }
        if let strategy = value("strategy", .strategy) { self.loadBalancer.strategy = strategy }
        if let workers = value("workers", .workers) {
            self.pools[0].minWorkers = workers
            self.pools[0].maxWorkers = workers
        }
        if let command = arguments.trailing {
            self.pools[0].command = command
            self.pools[0].prepare = []
        }
    }
}

extension ConfigurationType {
    /// Reads one word of the command line or the environment, where nothing tells a number from a text.
    fileprivate func decode(word: String, _ path: String, _ errors: inout [ConfigurationError]) -> Value? {
        let isNumber = Value.self == Int.self
        let number = isNumber ? Int64(word) : nil
        return self.decode(JSON5Value(number.map { .integer($0) } ?? .string(word)), path, &errors)
    }
}
