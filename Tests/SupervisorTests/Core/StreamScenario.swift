import Protocol
import Testing

@testable import Supervisor

/// What tests of streams say to a scenario, and what they look at.
extension Scenario {
    /// A scenario whose workers take eight calls each and honour cancels.
    static func streaming(
        workers: Int = 2, capabilities: [JSONValue.Member] = [],
        _ configure: (inout Configuration) -> Void = { _ in }
    ) -> Scenario {
        let capabilities: JSONValue = .object(
            [.init("max_concurrency", 300), .init("cancel", true)] + capabilities)
        return Scenario.ready(workers: workers, capabilities: capabilities) {
            $0.health.interval = .seconds(36_000)
            $0.limits.inFlightPerConnection = 300
            configure(&$0)
        }
    }

    /// A worker's chunk; `data` is JSON text.
    func chunk(
        _ worker: WorkerToken, _ call: Int64, _ data: String = "\"x\"", kind: String = "partial_answer",
        isFinal: Bool? = nil
    ) {
        let end = isFinal.map { ",\"is_final\":\($0)" } ?? ""
        self.write(
            worker,
            #"{"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":\#(call),"chunk_type":"\#(kind)","#
                + #""data":\#(data)\#(end)}}"#)
    }

    /// Chunks for the one open call.
    func chunks(_ count: Int, _ data: String = "\"x\"") throws {
        let (worker, call) = try self.openCall()
        for _ in 0..<count { self.chunk(worker, call, data) }
    }

    var lateReplies: Int64 {
        self.core.pools[0].slots.reduce(0) { $0 + Int64($1.lateReplies) }
    }

    func cancels(on worker: WorkerToken) -> Int {
        self.messages(to: worker).count { $0["method"] == "$/cancelRequest" }
    }
}

/// What a client got of one call: its chunks, and what came behind them.
struct StreamRecord {
    var chunks: [JSONValue] = []
    var answers: [JSONValue] = []
    /// Chunks behind the answer.
    var late = 0

    init(_ messages: [JSONValue]) {
        for message in messages {
            if message["method"] == "stream_chunk", let params = message["params"] {
                self.chunks.append(params)
                if !self.answers.isEmpty { self.late += 1 }
            } else {
                self.answers.append(message)
            }
        }
    }

    /// The reason in the final chunk.
    var reason: String? { self.chunks.last?["data"]?["reason"]?.stringValue }

    /// Sequence numbers without a gap, one final chunk, the last, and one answer behind it.
    var isWhole: Bool {
        self.chunks.enumerated().allSatisfy { $1["sequence"] == .integer($0) }
            && self.chunks.map { $0["is_final"] == true } == Array(
                repeating: false, count: max(0, self.chunks.count - 1)) + [true]
            && self.answers.count == 1 && self.late == 0
    }

    var code: Int64? { self.answers.first?["error"]?["code"]?.integerValue }
    var errorReason: String? { self.answers.first?["error"]?["data"]?["reason"]?.stringValue }
}

extension Scenario {
    func stream(_ client: ConnectionToken) -> StreamRecord { StreamRecord(self.take(client)) }
}
