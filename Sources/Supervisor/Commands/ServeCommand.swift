import Glibc
import Protocol

/// `supervisor serve`: builds the core and the shell, wires them, and serves until it is told to stop.
enum ServeCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let environment = ProcessEnvironment.current
        var settings = try self.settings(arguments, environment)
        SignalQueue.ignoreFailingWrites()
        SignalQueue.keepExitStatuses()
        FileDescriptor.occupyStandardNumbers()
        let (budget, originalLimits) = self.raiseLimits()
        let warnings = try self.fit(&settings.configuration, budget)
        let configuration = settings.configuration
        let cookie = ProcessLimits.randomCookie()
        do {
            // Before anything else is open, and while there is one thread.
            let guardian = try Guardian(cookie: cookie)
            let path = try configuration.socket.path ?? SocketPath.forListening(environment: environment)
            let listener = try UnixListener.open(configuration.socket, path: path)
            let control = try self.openControlSocket(configuration)
            let log = try LogWriter(configuration.logging, environment: environment)
            for warning in warnings { log.write(warning) }
            let spawner = ProcessSpawner(originalLimits: originalLimits)
            let launcher = WorkerLauncher(
                environment: environment, cookie: cookie, spawner: spawner)
            let reader = { () -> Result<ServeSettings, InvalidConfiguration> in
                Result { () throws(InvalidConfiguration) in
                    try ServeSettings.resolve(arguments, environment: environment)
                }
            }
            try self.serve(
                settings, listener, control, log, launcher, guardian, reader,
                workerLimit: budget.workerLimit(configuration))
        } catch let refusal as UnixListener.Refusal {
            throw .usage(refusal.description)
        } catch {
            throw .failed("cannot start: \(error)")
        }
    }

    /// nil: operators use the same socket as everybody.
    private static func openControlSocket(
        _ configuration: Configuration
    ) throws(UnixListener.Refusal) -> UnixListener? {
        guard let settings = configuration.controlSocket, let path = settings.path else { return nil }
        return try UnixListener.open(settings, path: path)
    }

    private static func settings(
        _ arguments: ParsedArguments, _ environment: [String: String]
    ) throws(CommandFailure) -> ServeSettings {
        do throws(InvalidConfiguration) {
            return try ServeSettings.resolve(arguments, environment: environment)
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
        _ settings: ServeSettings, _ listener: consuming UnixListener,
        _ control: consuming UnixListener?, _ log: LogWriter, _ launcher: WorkerLauncher,
        _ guardian: Guardian, _ reader: @escaping () -> Result<ServeSettings, InvalidConfiguration>,
        workerLimit: Int
    ) throws(SystemError) {
        let configuration = settings.configuration
        let signals = try SignalQueue([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD])
        let loop = try EventLoop<Source>()
        let pid = getpid()
        let path = listener.path
        var listeners = [try OpenListener(listener, .main, in: loop)]
        if let control = consume control { listeners.append(try OpenListener(control, .control, in: loop)) }
        let embeddings = configuration.cache.embeddingCacheFile.flatMap { EmbeddingStorage($0, log) }
        var effects = ShellEffects(
            loop: loop, log: log, launcher: launcher, limits: configuration.limits.messages,
            guardian: guardian, embeddings: embeddings, reader: reader)
        effects.log(
            .info, "supervisor.listening",
            [
                "socket": .string(path), "pid": .integer(pid),
                "version": .string(ProductVersion.text),
                "pools": .integer(configuration.pools.count),
                "workers": .integer(configuration.pools.reduce(0) { $0 + $1.minWorkers }),
                "strategy": .string(configuration.loadBalancer.strategy.rawValue),
            ])
        var core = SupervisorCore(
            configuration, source: settings.source,
            identity: .init(
                pid: pid, uid: getuid(), socketPath: path, workerLimit: workerLimit,
                connectionLimit: configuration.limits.connections, host: Machine.name,
                cores: Machine.processors, memoryBytes: Machine.memoryBytes),
            now: Clock.now, wallClock: Clock.wallMilliseconds, seed: ProcessLimits.randomWord())
        embeddings?.load(into: &core)
        var server = try Server(
            core: core, effects: effects, loop: loop, listeners: listeners, signals: signals,
            cookie: launcher.cookie)
        server.run()
    }
}
