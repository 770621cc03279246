import Protocol

/// What stands above the document of a configuration: the environment, and above that the flags of `serve`
/// (protocol §7). They are the same for as long as the supervisor runs.
struct ConfigurationOverrides: Equatable, Sendable {
    private static let socketVariable = "SUPERVISOR_SOCKET"
    private static let logLevelVariable = "SUPERVISOR_LOG_LEVEL"
    private static let embeddingsVariable = "EMBEDDING_CACHE_SIZE"

    /// Only the variables that are read; none of them is empty.
    private let environment: [String: String]
    private let arguments: ParsedArguments

    init(arguments: ParsedArguments = ParsedArguments(), environment: [String: String] = [:]) {
        let read = [Self.socketVariable, Self.logLevelVariable, Self.embeddingsVariable]
        self.environment = environment.filter { read.contains($0.key) && !$0.value.isEmpty }
        self.arguments = arguments
    }

    func apply(to configuration: inout Configuration, _ errors: inout [ConfigurationError]) {
        self.applyEnvironment(to: &configuration, &errors)
        self.applyFlags(to: &configuration, &errors)
        let control = configuration.controlSocket
        if let path = control?.path, path == configuration.socket.path,
            !errors.contains(where: Self.isOfControl)
        {
            errors.append(
                ConfigurationError(path: "control_socket.path", "expected another path than that of socket"))
        }
    }

    private static func isOfControl(_ error: ConfigurationError) -> Bool {
        error.path == "control_socket.path"
    }

    private func applyEnvironment(
        to configuration: inout Configuration, _ errors: inout [ConfigurationError]
    ) {
        func value<Value>(_ name: String, _ type: ConfigurationType<Value>) -> Value? {
            self.environment[name].flatMap { type.decode(word: $0, name, &errors) }
        }
        if let path = value(Self.socketVariable, .socketPath) { configuration.socket.path = path }
        if let level = value(Self.logLevelVariable, .logLevel) { configuration.logging.level = level }
        if let size = value(Self.embeddingsVariable, .cacheSize) {
            configuration.cache.embeddingCacheSize = size
        }
    }

    private func applyFlags(to configuration: inout Configuration, _ errors: inout [ConfigurationError]) {
        func value<Value>(_ name: String, _ type: ConfigurationType<Value>) -> Value? {
            self.arguments.value(name).flatMap { type.decode(word: $0, "--\(name)", &errors) }
        }
        if let path = value("socket", .socketPath) { configuration.socket.path = path }
        if let level = value("log-level", .logLevel) { configuration.logging.level = level }
        if let format: Configuration.Logging.Format = value("log-format", .word()) {
            configuration.logging.format = format
        }
        if let strategy = value("strategy", .strategy) { configuration.loadBalancer.strategy = strategy }
        if let workers = value("workers", .workers) {
            configuration.pools[0].minWorkers = workers
            configuration.pools[0].maxWorkers = workers
        }
        if let command = self.arguments.trailing {
            configuration.pools[0].command = command
            configuration.pools[0].prepare = []
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
