import Glibc
import Protocol

/// The effects of the core, done to the kernel: the connections, the workers' pipes, the log.
///
/// Output is only collected here; `flush` writes it, once a tick for each descriptor that has some.
struct ShellEffects {
    private let loop: EventLoop<Source>
    let log: LogWriter
    private let launcher: WorkerLauncher
    private let limits: MessageLimits
    /// Reads the configuration as it was read at the start.
    private let reader: () -> Result<ServeSettings, InvalidConfiguration>
    private var connections: [ClientConnection?] = []
    private var workers: [WorkerPipes?] = []
    private var dirtyConnections: [ClientConnection] = []
    private var dirtyWorkers: [WorkerPipes] = []
    private var deferred: [DeferredEvent] = []
    var guardian: Guardian
    /// nil: embeddings are not kept over a restart.
    private let embeddings: EmbeddingStorage?
    private var compression: LogCompression?
    var feed = EventFeed()
    private(set) var isFinished = false
    /// The large message that the core hears now; empty: it is none. What it passes on of it need not be copied.
    var delivered: [UInt8] = []

    init(
        loop: EventLoop<Source>, log: LogWriter, launcher: WorkerLauncher, limits: MessageLimits,
        guardian: Guardian, embeddings: EmbeddingStorage?,
        reader: @escaping () -> Result<ServeSettings, InvalidConfiguration>
    ) {
        self.reader = reader
        self.loop = loop
        self.log = log
        self.launcher = launcher
        self.limits = limits
        self.guardian = guardian
        self.embeddings = embeddings
    }

    func connection(_ token: ConnectionToken) -> ClientConnection? {
        guard Int(token.index) < self.connections.count, let found = self.connections[Int(token.index)],
            found.token == token
        else { return nil }
        return found
    }

    func worker(_ token: WorkerToken) -> WorkerPipes? {
        guard Int(token.index) < self.workers.count, let found = self.workers[Int(token.index)],
            found.token == token
        else { return nil }
        return found
    }

    /// The groups of all children, for a new guardian.
    var groups: [Int32] { self.workers.compactMap { $0?.pid } + [self.compression?.pid].compactMap(\.self) }

    /// Whether a pid is of a child whose exit is seen through its pidfd.
    func isOwnChild(_ pid: Int32) -> Bool {
        pid == self.guardian.pid || pid == self.compression?.pid || self.workers.contains { $0?.pid == pid }
    }

    var hasDeferred: Bool { !self.deferred.isEmpty }

    mutating func takeDeferred() -> [DeferredEvent] {
        defer { self.deferred = [] }
        return self.deferred
    }

    mutating func `defer`(_ event: DeferredEvent) { self.deferred.append(event) }
}

// MARK: - Clients

extension ShellEffects: SupervisorEffects {
    mutating func add(_ connection: ClientConnection) {
        let index = Int(connection.token.index)
        while self.connections.count <= index { self.connections.append(nil) }
        self.connections[index] = connection
    }

    /// Forgets a connection; its socket is closed when the last reference goes.
    mutating func remove(_ connection: ClientConnection) {
        guard self.connections[Int(connection.token.index)] === connection else { return }
        self.loop.deregister(connection.socket, connection.registration)
        self.connections[Int(connection.token.index)] = nil
    }

    mutating func send(to token: ConnectionToken, _ message: some OutgoingMessage) {
        guard let connection = self.connection(token) else { return }
        connection.append(message, keeping: LargePayload(of: message, in: self.delivered))
        self.markDirty(connection)
    }

    private mutating func markDirty(_ connection: ClientConnection) {
        guard !connection.isDirty else { return }
        connection.isDirty = true
        self.dirtyConnections.append(connection)
    }

    func outputBacklog(of token: ConnectionToken) -> Int { self.connection(token)?.output.count ?? 0 }

    func sentBytes(of token: ConnectionToken) -> Int { self.connection(token)?.output.sentInAll ?? 0 }

    mutating func flushOutput(of token: ConnectionToken) {
        if let connection = self.connection(token) { self.flush(connection) }
    }

    func unreadBytes(of token: ConnectionToken) -> Int { self.connection(token)?.socket.unreadBytes ?? 0 }

    /// Walks all connections; asked only when a message is cut off by a read.
    var bytesHeldByConnections: Int {
        self.connections.reduce(0) { $0 + ($1?.heldBytes ?? 0) }
    }

    mutating func setReading(_ isReading: Bool, from token: ConnectionToken) {
        self.connection(token)?.setInterest(.reading, isReading, in: self.loop)
    }

    mutating func closeWhenFlushed(_ token: ConnectionToken) {
        guard let connection = self.connection(token) else { return }
        connection.closesWhenFlushed = true
        self.markDirty(connection)
    }

    mutating func abort(_ token: ConnectionToken) {
        guard let connection = self.connection(token) else { return }
        connection.output.removeAll()
        self.remove(connection)
    }
}

// MARK: - Workers

extension ShellEffects {
    mutating func spawn(_ request: SpawnRequest) {
        do throws(ProcessSpawner.Failure) {
            let process = try self.launcher.launch(request)
            self.guardian.groupStarted(process.pid)
            self.add(WorkerPipes(process, request, limits: self.limits, now: Clock.now))
        } catch {
            self.deferred.append(
                .spawnFailed(
                    request.worker, reason: error.description, isShortage: error.isResourceShortage))
        }
    }

    private mutating func add(_ worker: WorkerPipes) {
        let index = Int(worker.token.index)
        while self.workers.count <= index { self.workers.append(nil) }
        self.workers[index] = worker
        do throws(SystemError) {
            worker.exitRegistration = try self.loop.register(
                worker.pidfd, for: .reading, as: .workerExit(worker.token))
            worker.outputRegistration = try self.loop.register(
                worker.output, for: .reading, as: .workerOutput(worker.token))
            worker.errorsRegistration = try self.loop.register(
                worker.errors, for: .reading, as: .workerErrors(worker.token))
            self.deferred.append(.spawned(worker.token, pid: worker.pid))
        } catch {
            // Unwatched it would be lost: it is ended at once, and counts as never started.
            kill(-worker.pid, SIGKILL)
            _ = worker.pidfd.wait(for: .seconds(1))
            _ = ChildExit.reap(worker.pidfd)
            self.remove(worker)
            self.deferred.append(
                .spawnFailed(worker.token, reason: error.description, isShortage: true))
        }
    }

    /// Forgets a worker; its descriptors are closed when the last reference goes.
    mutating func remove(_ worker: WorkerPipes) {
        worker.closeInput(in: self.loop)
        if let registration = worker.exitRegistration { self.loop.deregister(worker.pidfd, registration) }
        self.stopReadingOutput(of: worker)
        self.stopReadingErrors(of: worker)
        self.guardian.groupEnded(worker.pid)
        // A successor may have the place already: the core starts it while it hears of this one's end.
        let index = Int(worker.token.index)
        if self.workers[index] === worker { self.workers[index] = nil }
    }

    func stopReadingOutput(of worker: WorkerPipes) {
        guard let registration = worker.outputRegistration else { return }
        self.loop.deregister(worker.output, registration)
        worker.outputRegistration = nil
    }

    func stopReadingErrors(of worker: WorkerPipes) {
        guard let registration = worker.errorsRegistration else { return }
        self.loop.deregister(worker.errors, registration)
        worker.errorsRegistration = nil
    }

    mutating func send(to token: WorkerToken, _ message: some OutgoingMessage) {
        guard let worker = self.worker(token) else { return }
        worker.append(message, keeping: LargePayload(of: message, in: self.delivered))
        self.markDirty(worker)
    }

    private mutating func markDirty(_ worker: WorkerPipes) {
        guard !worker.isDirty else { return }
        worker.isDirty = true
        self.dirtyWorkers.append(worker)
    }

    func inputBacklog(of token: WorkerToken) -> Int { self.worker(token)?.toWorker.count ?? 0 }

    mutating func closeInput(of token: WorkerToken) {
        guard let worker = self.worker(token) else { return }
        worker.closesInputWhenFlushed = true
        self.markDirty(worker)
    }

    mutating func signal(_ token: WorkerToken, _ signal: WorkerSignal) {
        guard let worker = self.worker(token) else { return }
        // Its pid is ours until it is reaped, so the group cannot be a stranger's.
        kill(-worker.pid, signal == .kill ? SIGKILL : SIGTERM)
    }

    /// How long a sample of memory and processor time is good for.
    private static let sampleAge = Nanoseconds.milliseconds(500)

    mutating func usage(of token: WorkerToken) -> ResourceUsage? {
        guard let worker = self.worker(token) else { return nil }
        let now = Clock.now
        if let last = worker.lastSample, now.duration(since: last.at) < Self.sampleAge { return last.usage }
        guard let sample = ProcessTable.usage(ofTree: worker.pid) else { return nil }
        let since = worker.lastSample?.at ?? worker.startedAt
        let spent = max(0, sample.processorTime - (worker.lastSample?.processorTime ?? 0))
        let usage = ResourceUsage(
            residentBytes: sample.residentBytes,
            cpuPercent: 100 * Double(spent) / Double(max(1, now.duration(since: since))))
        worker.lastSample = (now, sample.processorTime, usage)
        return usage
    }

    mutating func readConfiguration() -> Result<ServeSettings, InvalidConfiguration> { self.reader() }

    func stderrTail(of token: WorkerToken) -> String { self.worker(token)?.errorLines.tailText ?? "" }
}

// MARK: - The supervisor

extension ShellEffects {
    mutating func beginEmbeddingFile() -> Bool { self.embeddings?.begin() ?? false }
    mutating func appendToEmbeddingFile(
        _ kind: EmbeddingRecordKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        storedAt: Int64
    ) {
        self.embeddings?.append(kind.rawValue, key: key, value: value, storedAt: storedAt)
    }
    mutating func endEmbeddingFile(durably: Bool) -> Bool {
        self.embeddings?.end(durably: durably) ?? false
    }

    mutating func finish() { self.isFinished = true }
    func isLogged(_ level: LogLevel) -> Bool { self.log.isLogged(level) || self.feed.isWatched }
    mutating func log(_ record: LogRecord) {
        self.log.write(record)
        self.feed.take(record, isLogged: self.log.isLogged(record.level))
    }

    /// Writes what the events of this tick have left to be sent.
    mutating func flush() {
        for worker in self.dirtyWorkers where !worker.flush(in: self.loop) {
            self.deferred.append(.inputFailed(worker.token))
        }
        self.dirtyWorkers.removeAll(keepingCapacity: true)
        for connection in self.dirtyConnections { self.flush(connection) }
        self.dirtyConnections.removeAll(keepingCapacity: true)
        if self.log.isWaiting || self.log.nextReport != nil { self.log.flush() }
        if self.log.mayCompress, self.compression == nil { self.startCompression() }
    }

    /// Whether something was added since the last flush.
    var hasUnflushed: Bool { !self.dirtyWorkers.isEmpty || !self.dirtyConnections.isEmpty }

    /// Sends what waits for a client. Whoever flushes, the core hears when a client begins to stall, takes some,
    /// or has taken all.
    mutating func flush(_ connection: ClientConnection) {
        connection.isDirty = false
        guard self.connections[Int(connection.token.index)] === connection else { return }
        var hasSent = false
        while !connection.output.isEmpty {
            switch connection.output.withUnsent({ connection.socket.send($0) }) {
            case .bytes(let count):
                connection.output.drop(count)
                hasSent = true
            case .wouldBlock:
                connection.setInterest(.writing, true, in: self.loop)
                if hasSent || !connection.isStalled { self.deferred.append(.outputWaits(connection.token)) }
                connection.isStalled = true
                return
            case .ended, .failed:
                self.deferred.append(.disconnected(connection.token))
                return
            }
        }
        if connection.isStalled { self.deferred.append(.outputSent(connection.token)) }
        connection.isStalled = false
        connection.setInterest(.writing, false, in: self.loop)
        if connection.closesWhenFlushed { self.deferred.append(.disconnected(connection.token)) }
    }
}

// MARK: - Old logs

extension ShellEffects {
    private mutating func startCompression() {
        guard let next = self.log.takeFileToCompress() else { return }
        do {
            let started = try LogCompression.start(
                next.archive, next.number, spawner: self.launcher.spawner,
                environment: self.launcher.environment, cookie: self.launcher.cookie)
            guard let started else { return }
            self.guardian.groupStarted(started.pid)
            self.compression = started
            started.registration = try self.loop.register(started.pidfd, for: .reading, as: .logCompression)
        } catch {
            self.abortCompression()
            self.log.compressionEnded("\(error)")
        }
    }

    mutating func compressionEnded() {
        guard let ended = self.compression, let status = ChildExit.reap(ended.pidfd) else { return }
        self.forgetCompression()
        self.log.compressionEnded(ended.end(status))
    }

    /// What was begun is begun again at the next start.
    mutating func abortCompression() {
        guard let running = self.compression else { return }
        running.abort()
        self.forgetCompression()
    }

    private mutating func forgetCompression() {
        guard let ended = self.compression.take() else { return }
        if let registration = ended.registration { self.loop.deregister(ended.pidfd, registration) }
        self.guardian.groupEnded(ended.pid)
    }
}
