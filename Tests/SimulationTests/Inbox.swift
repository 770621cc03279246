import Protocol

@testable import Supervisor

/// What the core wants done, kept until the step is over, for worlds in which nothing but lines and processes goes to
/// and fro: clients and workers take everything at once, and nobody is signalled, measured or cut off.
struct Inbox: SupervisorEffects {
    var toWorkers: [(worker: WorkerToken, line: [UInt8])] = []
    var toClients: [[UInt8]] = []
    var spawns: [SpawnRequest] = []

    var isEmpty: Bool { self.toWorkers.isEmpty && self.toClients.isEmpty && self.spawns.isEmpty }

    mutating func send(to connection: ConnectionToken, _ message: some OutgoingMessage) {
        var bytes: [UInt8] = []
        bytes.append(message)
        self.toClients.append(bytes)
    }
    mutating func send(to worker: WorkerToken, _ message: some OutgoingMessage) {
        var bytes: [UInt8] = []
        bytes.append(message)
        self.toWorkers.append((worker, bytes))
    }
    mutating func spawn(_ request: SpawnRequest) { self.spawns.append(request) }
    func outputBacklog(of connection: ConnectionToken) -> Int { 0 }
    var bytesHeldByConnections: Int { 0 }
    func inputBacklog(of worker: WorkerToken) -> Int { 0 }
    func stderrTail(of worker: WorkerToken) -> String { "" }
    func isLogged(_ level: LogLevel) -> Bool { false }
    mutating func readConfiguration() -> Result<ServeSettings, InvalidConfiguration> {
        .success(ServeSettings(configuration: Configuration(), source: ConfigurationSource()))
    }
    mutating func usage(of worker: WorkerToken) -> ResourceUsage? { nil }
    mutating func setReading(_ isReading: Bool, from connection: ConnectionToken) {}
    mutating func closeWhenFlushed(_ connection: ConnectionToken) {}
    mutating func abort(_ connection: ConnectionToken) {}
    mutating func closeInput(of worker: WorkerToken) {}
    mutating func signal(_ worker: WorkerToken, _ signal: WorkerSignal) {}
    mutating func finish() {}
    mutating func log(_ record: LogRecord) {}
}
