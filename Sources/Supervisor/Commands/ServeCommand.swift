import Glibc
import Protocol

/// `supervisor serve`: builds the core and the shell, wires them, and serves until it is told to stop.
enum ServeCommand {
    /// Descriptors of the supervisor itself: standard ones, epoll, signals, guardian, listener, lock, log.
    private static let ownDescriptors = 16
    /// Three pipes and a pidfd.
    private static let descriptorsPerWorker = 4

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let environment = ProcessEnvironment.current
        var configuration = try self.configuration(arguments, environment)
        SignalQueue.ignoreBrokenPipes()
        SignalQueue.keepExitStatuses()
        FileDescriptor.occupyStandardNumbers()
        let files = ProcessLimits.raiseFileLimit()
        let warning = try self.fitConnections(&configuration, descriptors: files.now)
        let cookie = ProcessLimits.randomCookie()
        do {
            // Before anything else is open, and while there is one thread.
            let guardian = try Guardian(cookie: cookie)
            let path = try configuration.socket.path ?? SocketPath.forListening(environment: environment)
            let listener = try UnixListener.open(configuration.socket, path: path)
            let log = try LogWriter(configuration.logging)
            if let warning { log.write(warning) }
            if !configuration.keysWithoutEffect.isEmpty {
                let keys = configuration.keysWithoutEffect.joined(separator: ", ")
                log.write(
                    LogRecord(
                        level: .warning, event: "configuration.without_effect",
                        fields: [("keys", .string(keys))]))
            }
            let spawner = ProcessSpawner(originalFileLimit: files.original)
            let launcher = WorkerLauncher(
                environment: environment, cookie: cookie, spawner: spawner)
            let reader = { () -> Result<Configuration, InvalidConfiguration> in
                Result { () throws(InvalidConfiguration) in
                    try ServeSettings.resolve(arguments, environment: environment).configuration
                }
            }
            try self.serve(
                configuration, listener, log, launcher, guardian, reader,
                workerLimit: self.workerLimit(configuration, descriptors: files.now))
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

    /// Refuses what cannot hold the workers; otherwise fewer connections are allowed.
    private static func fitConnections(
        _ configuration: inout Configuration, descriptors: UInt64
    ) throws(CommandFailure) -> LogRecord? {
        let workers = configuration.pools.reduce(0) { $0 + $1.maxWorkers }
        let needed = workers * self.descriptorsPerWorker + self.ownDescriptors
        guard needed < descriptors else {
            throw .usage(
                "\(workers) workers need \(needed) descriptors (\(self.descriptorsPerWorker) each and "
                    + "\(self.ownDescriptors)), and the limit is \(descriptors): raise it (ulimit -n), or lower "
                    + "max_workers")
        }
        let room = Int(clamping: descriptors) - needed
        guard room < configuration.limits.connections else { return nil }
        let wanted = configuration.limits.connections
        configuration.limits.connections = room
        return LogRecord(
            level: .warning, event: "limits.connections_lowered",
            fields: [
                ("from", .integer(wanted)), ("to", .integer(room)), ("descriptors", .integer(descriptors)),
                ("for_workers", .integer(needed)),
            ])
    }

    /// How many workers there may be, with as many connections as there may be.
    private static func workerLimit(_ configuration: Configuration, descriptors: UInt64) -> Int {
        let room = Int(clamping: descriptors) - self.ownDescriptors - configuration.limits.connections
        return room / self.descriptorsPerWorker
    }

    private static func serve(
        _ configuration: Configuration, _ listener: consuming UnixListener, _ log: LogWriter,
        _ launcher: WorkerLauncher, _ guardian: Guardian,
        _ reader: @escaping () -> Result<Configuration, InvalidConfiguration>, workerLimit: Int
    ) throws(SystemError) {
        let signals = try SignalQueue([SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2])
        let loop = try EventLoop<Source>()
        let pid = getpid()
        var effects = ShellEffects(
            loop: loop, log: log, launcher: launcher, limits: configuration.limits.messages,
            guardian: guardian, reader: reader)
        effects.log(
            .info, "supervisor.listening",
            [
                "socket": .string(listener.path), "pid": .integer(pid),
                "version": .string(ProductVersion.text),
                "pools": .integer(configuration.pools.count),
                "workers": .integer(configuration.pools.reduce(0) { $0 + $1.minWorkers }),
                "strategy": .string(configuration.loadBalancer.strategy.rawValue),
            ])
        let core = SupervisorCore(
            configuration,
            identity: .init(pid: pid, uid: getuid(), socketPath: listener.path, workerLimit: workerLimit),
            now: Clock.now, wallClock: Clock.wallMilliseconds, seed: ProcessLimits.randomWord())
        let server = try Server(
            core: core, effects: effects, loop: loop, listener: listener, signals: signals,
            cookie: launcher.cookie)
        server.run()
    }
}
