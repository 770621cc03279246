import Protocol

@testable import Supervisor

/// What happened in a world, seen from outside; the ledger has it already.
enum Observation {
    case called(Int64)
    /// nil: no such call is open.
    case answered(Answer, Int64?)
    /// A chunk, and the call whose name it has; nil: none has.
    case gotChunk(ReceivedChunk, Int64?)
    /// A worker is sent a call, with that many milliseconds left, when so many bytes wait to be read by it.
    case sent(Int64, to: WorkerToken, deadlineMilliseconds: Int64?, backlog: Int)
    case told(Int64, backlog: Int)
    /// A worker was told that nobody waits for that number any more; nil: it has no such call.
    case cancelSent(Ledger.OpenCall?, to: WorkerToken)
    case workerWrote(WorkerOutput, WorkerToken)
    /// With the calls it had, and what it was.
    case exited(WorkerToken, Ledger.Process, [Ledger.OpenCall])
    case cutOff(WorkerToken, [Ledger.OpenCall])
    case spawned(WorkerToken)
    case spawnFailed(WorkerToken, Ledger.Process)
    case inputClosed(WorkerToken)
    case signaled(WorkerToken, WorkerSignal)
    case clientCancelled(Int64)
    case clientLeft(Int)
    case stalled(ConnectionToken)
    case tookSome(ConnectionToken)
    case readsAgain(ConnectionToken)
    case closed(ConnectionToken, whenFlushed: Bool)
    /// an operator asked for something
    case asked(String)
    case rolloutAsked
    case stopped
    case finished
}

/// One chunk, as its client reads it.
struct ReceivedChunk {
    var client: Int
    var name: String
    var sequence: Int64?
    var kind: String?
    var data: JSONValue?
    var isFinal: Bool?

    init(_ params: JSONValue, client: Int) {
        self.client = client
        self.name = params["request_id"]?.stringValue ?? ""
        self.sequence = params["sequence"]?.integerValue
        self.kind = params["chunk_type"]?.stringValue
        self.data = params["data"]
        self.isFinal = params["is_final"]?.boolValue
    }

    /// Why the stream ends, in a final chunk of the supervisor's; nil: it is a worker's.
    var reason: String? { self.data?["reason"]?.stringValue }
}

/// One answer, as its client reads it.
struct Answer {
    var client: Int
    var id: String
    var result: JSONValue?
    var error: JSONValue?
    var metadata: JSONValue?

    var code: Int64? { self.error?["code"]?.integerValue }
    var reason: String? { self.error?["data"]?["reason"]?.stringValue }

    init(_ message: JSONValue, client: Int) {
        self.client = client
        self.id = message["id"]?.text ?? ""
        self.result = message["result"]
        self.error = message["error"]
        self.metadata = message["metadata"]
    }
}

extension Observation: CustomStringConvertible {
    /// One line of the log of a replay.
    var description: String {
        switch self {
        case .called(let nonce): "call \(nonce) is made"
        case .answered(let answer, let nonce):
            "client \(answer.client) gets for call \(nonce ?? -1): \((answer.error ?? answer.result)?.text ?? "")"
        case .gotChunk(let chunk, let nonce):
            "client \(chunk.client) gets chunk \(chunk.sequence ?? -1) of call \(nonce ?? -1): "
                + "\(chunk.data?.text ?? "")\(chunk.isFinal == true ? ", the last" : "")"
        case .sent(let nonce, let worker, let left, let backlog):
            "worker \(worker.name) is sent call \(nonce), \(left ?? -1) ms left, \(backlog) bytes wait"
        case .told(let nonce, let backlog): "a worker is told \(nonce), \(backlog) bytes wait"
        case .cancelSent(let open, let worker):
            "worker \(worker.name) is sent a cancel of \(open?.nonce ?? -1)"
        case .workerWrote(let output, let worker):
            "worker \(worker.name) writes \(String(decoding: output.line.prefix(120), as: UTF8.self))"
        case .exited(let worker, _, let lost): "worker \(worker.name) exits with \(lost.count) calls"
        case .cutOff(let worker, let lost): "worker \(worker.name), cut off, loses \(lost.count) calls"
        case .spawned(let worker): "worker \(worker.name) is started"
        case .spawnFailed(_, let process): "slot \(process.slot) of pool \(process.pool) could not be started"
        case .inputClosed(let worker): "stdin of worker \(worker.name) is ended"
        case .signaled(let worker, let signal): "worker \(worker.name) gets a signal: \(signal)"
        case .clientCancelled(let nonce): "call \(nonce) is cancelled"
        case .clientLeft(let index): "client \(index) is gone"
        case .stalled(let token): "connection \(token.index) stalls"
        case .tookSome(let token): "connection \(token.index) takes some of its output"
        case .readsAgain(let token): "connection \(token.index) reads again"
        case .closed(let token, let whenFlushed):
            "connection \(token.index) is closed\(whenFlushed ? " when it is flushed" : "")"
        case .asked(let text): "an operator asks: \(text)"
        case .rolloutAsked: "a restart or a reload is asked for"
        case .stopped: "the supervisor is told to stop"
        case .finished: "the supervisor has finished"
        }
    }
}

extension WorkerToken {
    /// Short, for logs.
    fileprivate var name: String { "\(self.index).\(self.generation)" }
}
