import Glibc
import Protocol

/// `supervisor serve`: builds the core and the shell, wires them, and serves until it is told to stop.
enum ServeCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let environment = ProcessEnvironment.current
        var configuration = try self.configuration(arguments, environment)
        SignalQueue.ignoreFailingWrites()
        SignalQueue.keepExitStatuses()
        FileDescriptor.occupyStandardNumbers()
        let (budget, originalLimits) = self.raiseLimits()
        let warnings = try self.fit(&configuration, budget)
        let cookie = ProcessLimits.randomCookie()
        do {
            // Before anything else is open, and while there is one thread.
            let guardian = try Guardian(cookie: cookie)
            let path = try configuration.socket.path ?? SocketPath.forListening(environment: environment)
            let listener = try UnixListener.open(configuration.socket, path: path)
            let log = try LogWriter(configuration.logging, environment: environment)
            for warning in warnings { log.write(warning) }
            if !configuration.keysWithoutEffect.isEmpty {
                let keys = configuration.keysWithoutEffect.joined(separator: ", ")
                log.write(
                    LogRecord(
                        level: .warning, event: "config.without_effect",
                        fields: [("keys", .string(keys))]))
            }
            let spawner = ProcessSpawner(originalLimits: originalLimits)
            let launcher = WorkerLauncher(
                environment: environment, cookie: cookie, spawner: spawner)
            let reader = { () -> Result<Configuration, InvalidConfiguration> in
                Result { () throws(InvalidConfiguration) in
                    try ServeSettings.resolve(arguments, environment: environment).configuration
                }
            }
            try self.serve(
                configuration, listener, log, launcher, guardian, reader,
                workerLimit: budget.workerLimit(configuration))
        } catch let refusal as UnixListener.Refusal {
            throw .usage(refusal.description)
        } catch {
            throw .failed("cannot start: \(error)")
        }
    }

    private static func configuration(
        _ arguments: ParsedArguments, _ environment: [String: String]
    ) throws(CommandFailure) -> Configuration {
        do throws(InvalidConfiguration) {
            return try ServeSettings.resolve(arguments, environment: environment).configuration
        } catch {
            throw .usage("the configuration is refused\n\(error)")
        }
    }

    private static func raiseLimits() -> (SystemBudget, original: [ProcessLimits.Original]) {
        let files = ProcessLimits.raise(.nofile)
        let processes = ProcessLimits.raise(.nproc)
        var budget = SystemBudget(descriptors: files.now)
        if processes.now != .max, !ProcessLimits.isExemptFromProcessLimit {
            budget.processes = processes.now
            budget.otherThreads = ProcessTable.threads(ofUser: getuid()) - 1
        }
        return (budget, [files.original, processes.original])
    }

    private static func fit(
        _ configuration: inout Configuration, _ budget: SystemBudget
    ) throws(CommandFailure) -> [LogRecord] {
        do throws(SystemBudget.Shortage) {
            return try budget.fit(&configuration)
        } catch {
            throw .usage(error.description)
        }
    }

    private static func serve(
        _ configuration: Configuration, _ listener: consuming UnixListener, _ log: LogWriter,
        _ launcher: WorkerLauncher, _ guardian: Guardian,
        _ reader: @escaping () -> Result<Configuration, InvalidConfiguration>, workerLimit: Int
    ) throws(SystemError) {
        let signals = try SignalQueue([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD])
        let loop = try EventLoop<Source>()
        let pid = getpid()
        let embeddings = configuration.cache.embeddingCacheFile.flatMap { EmbeddingStorage($0, log) }
        var effects = ShellEffects(
            loop: loop, log: log, launcher: launcher, limits: configuration.limits.messages,
            guardian: guardian, embeddings: embeddings, reader: reader)
        effects.log(
            .info, "supervisor.listening",
            [
                "socket": .string(listener.path), "pid": .integer(pid),
                "version": .string(ProductVersion.text),
                "pools": .integer(configuration.pools.count),
                "workers": .integer(configuration.pools.reduce(0) { $0 + $1.minWorkers }),
                "strategy": .string(configuration.loadBalancer.strategy.rawValue),
            ])
        var core = SupervisorCore(
            configuration,
            identity: .init(
                pid: pid, uid: getuid(), socketPath: listener.path, workerLimit: workerLimit,
                connectionLimit: configuration.limits.connections),
            now: Clock.now, wallClock: Clock.wallMilliseconds, seed: ProcessLimits.randomWord())
        embeddings?.load(into: &core)
        let server = try Server(
            core: core, effects: effects, loop: loop, listener: listener, signals: signals,
            cookie: launcher.cookie)
        server.run()
    }
}
