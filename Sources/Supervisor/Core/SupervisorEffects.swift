import Protocol

typealias ConnectionToken = Token<Connection>
typealias RequestToken = Token<Request>
typealias WorkerToken = Token<WorkerProcess>
typealias BatchToken = Token<Batch>
typealias BroadcastToken = Token<Broadcast>

/// What the core wants done. The shell does it to the kernel; the simulation does it to a virtual world.
///
/// An effect never calls back into the core: what fails (a write, a spawn) comes back as an event of a later
/// step.
protocol SupervisorEffects {
    /// Appends one message to what a client will be sent, with its framing.
    mutating func send(to connection: ConnectionToken, _ message: some OutgoingMessage)
    /// Bytes that wait to be sent to that client.
    func outputBacklog(of connection: ConnectionToken) -> Int

    /// Bytes that the kernel has taken for that client since it connected.
    func sentBytes(of connection: ConnectionToken) -> Int
    /// Offers what waits for a client to the kernel now, not only at the end of the tick.
    mutating func flushOutput(of connection: ConnectionToken)
    /// Bytes that were sent to a client and that it has not read, as far as the kernel tells.
    func unreadBytes(of connection: ConnectionToken) -> Int
    /// Bytes that the connections hold in all: unfinished messages and waiting output.
    var bytesHeldByConnections: Int { get }
    mutating func setReading(_ isReading: Bool, from connection: ConnectionToken)
    /// Closes a connection once its output is sent.
    mutating func closeWhenFlushed(_ connection: ConnectionToken)
    /// Closes a connection now; waiting output is dropped.
    mutating func abort(_ connection: ConnectionToken)

    /// Starts a process; the answer is `workerSpawned` or `spawnFailed`.
    mutating func spawn(_ request: SpawnRequest)
    /// Appends one message to what a worker will be sent, with its line end.
    mutating func send(to worker: WorkerToken, _ message: some OutgoingMessage)
    /// Bytes that wait to be sent to that worker.
    func inputBacklog(of worker: WorkerToken) -> Int
    /// Ends the worker's stdin once what waits is sent.
    mutating func closeInput(of worker: WorkerToken)
    /// Signals the worker's whole process group.
    mutating func signal(_ worker: WorkerToken, _ signal: WorkerSignal)
    /// What the worker's processes use at this moment; nil when it cannot be known.
    mutating func usage(of worker: WorkerToken) -> ResourceUsage?
    /// The last lines the worker wrote to stderr.
    func stderrTail(of worker: WorkerToken) -> String
    /// Reads the configuration again, as at the start: file, environment, flags.
    mutating func readConfiguration() -> Result<ServeSettings, InvalidConfiguration>

    /// Begins the file of embeddings anew, beside the one there is.
    ///
    /// - Returns: false when it cannot be written.
    mutating func beginEmbeddingFile() -> Bool
    mutating func appendToEmbeddingFile(
        _ kind: EmbeddingRecordKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        storedAt: Int64)
    /// Puts what was written in the place of the file there was.
    ///
    /// - Parameter durably: it is to be on the disk when this returns.
    /// - Returns: whether all of it was written; if not, the old file stands.
    mutating func endEmbeddingFile(durably: Bool) -> Bool

    /// Everything is stopped and answered: leave the loop.
    mutating func finish()
    /// Whether a record of that level is of any use: it would be logged, or somebody has subscribed to events.
    func isLogged(_ level: LogLevel) -> Bool
    /// Logs a record, and puts it into the feed.
    mutating func log(_ record: LogRecord)
    /// Where the core finds what was logged and somebody has subscribed to.
    var feed: EventFeed { get set }
}

extension SupervisorEffects {
    /// Appends a message that is whole already.
    mutating func send(to connection: ConnectionToken, _ message: [UInt8]) {
        message.withUnsafeBytes { self.send(to: connection, WholeMessage($0)) }
    }

    /// Appends a message that is whole already.
    mutating func send(to worker: WorkerToken, _ message: [UInt8]) {
        message.withUnsafeBytes { self.send(to: worker, WholeMessage($0)) }
    }

    /// None, where there is no kernel in between.
    func unreadBytes(of connection: ConnectionToken) -> Int { 0 }

    /// Nobody counts, and nothing is between the core and its clients.
    func sentBytes(of connection: ConnectionToken) -> Int { 0 }
    mutating func flushOutput(of connection: ConnectionToken) {}

    /// Nobody subscribes where there are no events.
    var feed: EventFeed {
        get { EventFeed() }
        set {}
    }

    /// No file, where there are none.
    mutating func beginEmbeddingFile() -> Bool { false }
    mutating func appendToEmbeddingFile(
        _ kind: EmbeddingRecordKind, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        storedAt: Int64
    ) {}
    mutating func endEmbeddingFile(durably: Bool) -> Bool { false }

    /// Logs a change of state; the fields are not even built when the level is off.
    mutating func log(
        _ level: LogLevel, _ event: StaticString,
        _ fields: @autoclosure () -> KeyValuePairs<StaticString, LogValue>
    ) {
        guard self.isLogged(level) else { return }
        self.log(LogRecord(level: level, event: event, fields: fields().map { ($0.key, $0.value) }))
    }
}

/// What to start, and as whom.
struct SpawnRequest: Equatable, Sendable {
    enum Role: Equatable, Sendable {
        /// The pool's command: answers calls.
        case serving
        /// The pool's `prepare`: runs once, must exit 0.
        case preparing
    }
    var worker: WorkerToken
    var pool: Int
    var role: Role
    /// WORKER_ID.
    var workerID: String
    /// What the pool's workers are started with now.
    var configuration: Configuration.Pool
}

enum WorkerSignal: Equatable, Sendable { case terminate, kill }

struct ResourceUsage: Equatable, Sendable {
    var residentBytes: Int64
    var cpuPercent: Double
}

/// How a process ended.
enum ExitStatus: Equatable, Sendable {
    case exited(code: Int32)
    case signaled(Int32)
}

/// One event for the log, with fields in order.
struct LogRecord: Sendable {
    var level: LogLevel
    var event: StaticString
    var fields: [(key: StaticString, value: LogValue)]
}

enum LogValue: Equatable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByStringInterpolation
{
    case string(String)
    /// A text that was escaped already, by `Excerpt`: lines that come in floods are not looked through twice.
    case escaped(String)
    /// A text whose end is what matters, where it must be cut.
    case tail(String)
    case whole(Int64)
    case number(Double)
    case bool(Bool)

    init(stringLiteral value: String) { self = .string(value) }
    init(integerLiteral value: Int64) { self = .whole(value) }
    static func integer(_ value: some BinaryInteger) -> LogValue { .whole(Int64(truncatingIfNeeded: value)) }

    var json: JSONValue {
        switch self {
        case .string(let text), .escaped(let text), .tail(let text): .string(text)
        case .whole(let number): .integer(number)
        case .number(let number): .double(number)
        case .bool(let flag): .bool(flag)
        }
    }
}
