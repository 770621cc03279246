import Protocol

@testable import Supervisor

/// The effects of one step, collected for the virtual world to act on.
struct SimulatedEffects: SupervisorEffects {
    /// What the core asked for, in order.
    enum Effect {
        case toClient(ConnectionToken, [UInt8])
        case toWorker(WorkerToken, [UInt8])
        case spawn(SpawnRequest)
        case closeInput(WorkerToken)
        case signal(WorkerToken, WorkerSignal)
        case close(ConnectionToken)
        case finish
    }

    private(set) var effects: [Effect] = []
    /// Bytes that a stalled client has not taken.
    var backlogs: [ConnectionToken: Int] = [:]
    var paused: Set<ConnectionToken> = []
    /// What a reload reads.
    var configuration = Configuration()
    /// The log, when a failing seed is replayed.
    var trace: [String]?

    mutating func take() -> [Effect] {
        defer { self.effects.removeAll(keepingCapacity: true) }
        return self.effects
    }

    mutating func send(to connection: ConnectionToken, _ body: (inout [UInt8]) -> Void) {
        var bytes: [UInt8] = []
        body(&bytes)
        self.effects.append(.toClient(connection, bytes))
    }

    func outputBacklog(of connection: ConnectionToken) -> Int { self.backlogs[connection] ?? 0 }
    var bytesHeldByConnections: Int { self.backlogs.values.reduce(0, +) }

    mutating func setReading(_ isReading: Bool, from connection: ConnectionToken) {
        if isReading { self.paused.remove(connection) } else { self.paused.insert(connection) }
    }

    mutating func closeWhenFlushed(_ connection: ConnectionToken) { self.effects.append(.close(connection)) }
    mutating func abort(_ connection: ConnectionToken) { self.effects.append(.close(connection)) }
    mutating func spawn(_ request: SpawnRequest) { self.effects.append(.spawn(request)) }

    mutating func send(to worker: WorkerToken, _ body: (inout [UInt8]) -> Void) {
        var bytes: [UInt8] = []
        body(&bytes)
        self.effects.append(.toWorker(worker, bytes))
    }

    func inputBacklog(of worker: WorkerToken) -> Int { 0 }
    mutating func closeInput(of worker: WorkerToken) { self.effects.append(.closeInput(worker)) }
    mutating func signal(_ worker: WorkerToken, _ signal: WorkerSignal) {
        self.effects.append(.signal(worker, signal))
    }
    mutating func usage(of worker: WorkerToken) -> ResourceUsage? {
        ResourceUsage(residentBytes: 9 << 20, cpuPercent: 1)
    }
    mutating func readConfiguration() -> Result<Configuration, InvalidConfiguration> {
        .success(self.configuration)
    }
    func stderrTail(of worker: WorkerToken) -> String { "virtual stderr" }
    mutating func finish() { self.effects.append(.finish) }

    func isLogged(_ level: LogLevel) -> Bool { self.trace != nil }
    mutating func log(_ record: LogRecord) { self.trace?.append("\(record.event) \(record.fields)") }
}
