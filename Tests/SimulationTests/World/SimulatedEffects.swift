import Protocol

@testable import Supervisor

/// The effects of one event, collected for the virtual world to act on.
struct SimulatedEffects: SupervisorEffects {
    /// What the core asked for, in order.
    enum Effect {
        case toClient(ConnectionToken, [UInt8])
        /// with the bytes that waited for it before
        case toWorker(WorkerToken, [UInt8], backlog: Int)
        case spawn(SpawnRequest)
        case closeInput(WorkerToken)
        case signal(WorkerToken, WorkerSignal)
        /// nothing more is sent: now, or once all that waits is sent
        case close(ConnectionToken, whenFlushed: Bool)
        case finish
    }

    /// One who does not read what is sent to him.
    struct Stall {
        /// How many bytes each byte counts for, so that a few messages fill buffers of megabytes.
        var factor: Int
        /// What all had been sent when it began.
        var began = 0
        var waiting = 0
        /// Bytes that were sent since then, and count.
        private(set) var written = 0
        /// The largest message, in bytes that count.
        var largest = 0
        /// The core was told.
        var isNoted = false
        /// It is closed once it has read all.
        var isClosing = false

        mutating func add(_ bytes: Int) {
            self.waiting += bytes * self.factor
            self.written += bytes * self.factor
            self.largest = max(self.largest, bytes * self.factor)
        }
    }

    private(set) var effects: [Effect] = []
    /// Bytes that all clients were sent, as they count: a clock by which one who reads has always taken all.
    private(set) var written = 0
    var stalledClients: [ConnectionToken: Stall] = [:]
    var deafWorkers: [WorkerToken: Stall] = [:]
    /// Megabytes, of workers that have grown.
    var memory: [WorkerToken: Int64] = [:]
    /// What a reload reads.
    var configuration = Configuration()
    private(set) var paused: Set<ConnectionToken> = []
    /// The log, when a seed is replayed.
    var trace: [String]?

    mutating func take() -> [Effect] {
        guard !self.effects.isEmpty else { return [] }
        defer { self.effects.removeAll(keepingCapacity: true) }
        return self.effects
    }

    mutating func send(to connection: ConnectionToken, _ message: some OutgoingMessage) {
        var bytes: [UInt8] = []
        bytes.append(message)
        self.stalledClients[connection]?.add(bytes.count)
        self.written += bytes.count * (self.stalledClients[connection]?.factor ?? 1)
        self.effects.append(.toClient(connection, bytes))
    }

    func outputBacklog(of connection: ConnectionToken) -> Int {
        self.stalledClients.isEmpty ? 0 : self.stalledClients[connection]?.waiting ?? 0
    }

    func sentBytes(of connection: ConnectionToken) -> Int {
        guard let stall = self.stalledClients[connection] else { return self.written }
        return stall.began + stall.written - stall.waiting
    }

    var bytesHeldByConnections: Int { self.stalledClients.values.reduce(0) { $0 + $1.waiting } }

    mutating func setReading(_ isReading: Bool, from connection: ConnectionToken) {
        if isReading { self.paused.remove(connection) } else { self.paused.insert(connection) }
    }

    mutating func closeWhenFlushed(_ connection: ConnectionToken) {
        self.effects.append(.close(connection, whenFlushed: true))
    }

    mutating func abort(_ connection: ConnectionToken) {
        self.effects.append(.close(connection, whenFlushed: false))
    }

    mutating func spawn(_ request: SpawnRequest) { self.effects.append(.spawn(request)) }

    mutating func send(to worker: WorkerToken, _ message: some OutgoingMessage) {
        var bytes: [UInt8] = []
        bytes.append(message)
        bytes.append(0x0A)
        self.effects.append(.toWorker(worker, bytes, backlog: self.inputBacklog(of: worker)))
        self.deafWorkers[worker]?.add(bytes.count)
    }

    func inputBacklog(of worker: WorkerToken) -> Int {
        self.deafWorkers.isEmpty ? 0 : self.deafWorkers[worker]?.waiting ?? 0
    }

    mutating func closeInput(of worker: WorkerToken) { self.effects.append(.closeInput(worker)) }

    mutating func signal(_ worker: WorkerToken, _ signal: WorkerSignal) {
        self.effects.append(.signal(worker, signal))
    }

    mutating func usage(of worker: WorkerToken) -> ResourceUsage? {
        ResourceUsage(residentBytes: (self.memory[worker] ?? 9) << 20, cpuPercent: 1)
    }

    func stderrTail(of worker: WorkerToken) -> String { "virtual stderr" }
    mutating func readConfiguration() -> Result<ServeSettings, InvalidConfiguration> {
        let source = ConfigurationSource(of: self.configuration)
        return .success(ServeSettings(configuration: self.configuration, source: source))
    }
    mutating func finish() { self.effects.append(.finish) }

    func isLogged(_ level: LogLevel) -> Bool { self.trace != nil }

    mutating func log(_ record: LogRecord) {
        let fields = record.fields.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        self.trace?.append("    log \(record.event) \(fields)")
    }
}
