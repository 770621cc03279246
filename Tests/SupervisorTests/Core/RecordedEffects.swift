import Protocol

@testable import Supervisor

/// Effects that are only written down, for a test to look at.
struct RecordedEffects: SupervisorEffects {
    var toClients: [ConnectionToken: [[UInt8]]] = [:]
    var toWorkers: [WorkerToken: [UInt8]] = [:]
    var spawns: [SpawnRequest] = []
    var closedInputs: [WorkerToken] = []
    var signals: [Sent] = []
    var paused: Set<ConnectionToken> = []
    var closing: Set<ConnectionToken> = []
    var aborted: Set<ConnectionToken> = []
    var records: [LogRecord] = []
    var feed = EventFeed()
    var isFinished = false

    /// What waits for a client or a worker that takes nothing.
    var outputBacklogs: [ConnectionToken: Int] = [:]
    var unread: [ConnectionToken: Int] = [:]
    /// Bytes that each client was sent, and how many of them one took that takes no more by itself.
    private var written: [ConnectionToken: Int] = [:]
    private var taken: [ConnectionToken: Int] = [:]
    /// Clients that take what waits when it is offered to them.
    var takesWhenOffered: Set<ConnectionToken> = []
    var inputBacklogs: [WorkerToken: Int] = [:]
    var bytesHeldByConnections = 0
    /// What workers hold, where it is not 8 MiB.
    var memory: [WorkerToken: Int64] = [:]
    /// What a reload reads.
    var configuration: Result<Configuration, InvalidConfiguration> = .success(Configuration())

    /// The file of embeddings: what is in place, and what is being written.
    var file: [FileRecord] = []
    private var openFile: [FileRecord] = []
    var canWriteFile = true
    /// False: the disk is full before the last of it is written.
    var canFinishFile = true

    struct FileRecord: Equatable {
        var kind: UInt8
        var key: [UInt8]
        var value: [UInt8]
        var storedAt: Int64
    }

    struct Sent: Equatable {
        var worker: WorkerToken
        var signal: WorkerSignal
    }

    mutating func send(to connection: ConnectionToken, _ message: some OutgoingMessage) {
        var bytes: [UInt8] = []
        bytes.append(message)
        self.toClients[connection, default: []].append(bytes)
        self.written[connection, default: 0] += bytes.count
    }

    /// From here on the client takes nothing by itself.
    mutating func stopTaking(_ connection: ConnectionToken) { self.take(0, connection) }

    /// It takes so many bytes more.
    mutating func take(_ bytes: Int, _ connection: ConnectionToken) {
        self.taken[connection] = (self.taken[connection] ?? self.written[connection] ?? 0) + bytes
    }

    func outputBacklog(of connection: ConnectionToken) -> Int {
        self.outputBacklogs[connection] ?? (self.written[connection] ?? 0) - self.sentBytes(of: connection)
    }
    func sentBytes(of connection: ConnectionToken) -> Int {
        self.taken[connection] ?? self.written[connection] ?? 0
    }
    mutating func flushOutput(of connection: ConnectionToken) {
        if self.takesWhenOffered.contains(connection) { self.taken[connection] = self.written[connection] }
    }
    func unreadBytes(of connection: ConnectionToken) -> Int { self.unread[connection] ?? 0 }
    mutating func setReading(_ isReading: Bool, from connection: ConnectionToken) {
        if isReading { self.paused.remove(connection) } else { self.paused.insert(connection) }
    }
    mutating func closeWhenFlushed(_ connection: ConnectionToken) { self.closing.insert(connection) }
    mutating func abort(_ connection: ConnectionToken) { self.aborted.insert(connection) }
    mutating func spawn(_ request: SpawnRequest) { self.spawns.append(request) }
    mutating func send(to worker: WorkerToken, _ message: some OutgoingMessage) {
        self.toWorkers[worker, default: []].append(message)
        self.toWorkers[worker, default: []].append(0x0A)
    }
    func inputBacklog(of worker: WorkerToken) -> Int { self.inputBacklogs[worker] ?? 0 }
    mutating func closeInput(of worker: WorkerToken) { self.closedInputs.append(worker) }
    mutating func signal(_ worker: WorkerToken, _ signal: WorkerSignal) {
        self.signals.append(Sent(worker: worker, signal: signal))
    }
    mutating func usage(of worker: WorkerToken) -> ResourceUsage? {
        ResourceUsage(residentBytes: self.memory[worker] ?? 8 << 20, cpuPercent: 12.34)
    }
    mutating func readConfiguration() -> Result<ServeSettings, InvalidConfiguration> {
        self.configuration.map { ServeSettings(configuration: $0, source: ConfigurationSource(of: $0)) }
    }
    func stderrTail(of worker: WorkerToken) -> String { "first\nlast words" }
    mutating func beginEmbeddingFile() -> Bool {
        self.openFile = []
        return self.canWriteFile
    }
    mutating func appendToEmbeddingFile(
        _ kind: EmbeddingRecordKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        storedAt: Int64
    ) {
        self.openFile.append(
            FileRecord(kind: kind.rawValue, key: Array(key), value: Array(value), storedAt: storedAt))
    }
    mutating func endEmbeddingFile(durably: Bool) -> Bool {
        if self.canFinishFile { self.file = self.openFile }
        return self.canFinishFile
    }
    mutating func finish() { self.isFinished = true }
    func isLogged(_ level: LogLevel) -> Bool { true }
    mutating func log(_ record: LogRecord) {
        self.records.append(record)
        self.feed.take(record, isLogged: true)
    }

    var events: [String] { self.records.map(\.event.description) }

    /// The fields of all records of an event.
    func fields(of event: String) -> [[String: LogValue]] {
        self.records.filter { $0.event.description == event }.map { record in
            record.fields.reduce(into: [:]) { $0["\($1.key)"] = $1.value }
        }
    }
}
