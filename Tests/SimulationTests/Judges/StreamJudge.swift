import Protocol

@testable import Supervisor

/// Protocol §2, "Stream": chunks come while their call is open, numbered from 0 without a gap, each of them its call's
/// own; `rag.stream`, and any call of which a chunk came, has one final chunk before its answer, and nothing behind
/// it; a stream that stands still is ended; what waits of one for its client is bounded.
struct StreamJudge: Judge {
    static let promise = Promise.wholeStreams
    /// Answers to what is no call: no stream ends with them.
    private static let unstreamed: Set<Int64> = [-32700, -32600, -32601, -32001]
    private var streams: [Int64: Received] = [:]
    private(set) var isTested = false

    /// What a client got of a call.
    private struct Received {
        var chunks = 0
        /// Of them, those that a worker wrote.
        var ofWorkers = 0
        var final: ReceivedChunk?
    }

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .called(let nonce): self.streams[nonce] = nil
        case .gotChunk(let chunk, let nonce):
            guard let nonce, let call = ledger.calls[nonce] else {
                return "client \(chunk.client) got a chunk of no call of its own: \(chunk.name)"
            }
            return self.take(chunk, call)
        case .sent(let nonce, _, _, _):
            guard let stream = self.streams[nonce], stream.chunks > 0 else { return nil }
            return "\(ledger.calls[nonce]?.method ?? "") was sent again, though its client has chunks of it"
        case .answered(let answer, let nonce?):
            guard let call = ledger.calls[nonce], !call.isNotification else { return nil }
            return self.judge(answer, call, self.streams[nonce] ?? Received())
        default: break
        }
        return nil
    }

    private mutating func take(_ chunk: ReceivedChunk, _ call: Ledger.Call) -> String? {
        var stream = self.streams[call.nonce] ?? Received()
        if call.isAnswered { return "\(call.method) got a chunk behind its answer" }
        if stream.final != nil { return "\(call.method) got a chunk behind the final one" }
        guard chunk.sequence == Int64(stream.chunks) else {
            return "\(call.method) got chunk \(chunk.sequence ?? -1) in the place of \(stream.chunks)"
        }
        stream.chunks += 1
        if chunk.isFinal == true { stream.final = chunk }
        if chunk.reason == nil {
            stream.ofWorkers += 1
            guard chunk.data?["nonce"] == .integer(call.nonce), chunk.data?["kind"]?.stringValue == chunk.kind
            else { return "\(call.method) got a chunk of another call: \(chunk.data?.text ?? "")" }
            let waiting = call.stream.waiting
            if waiting.chunks >= Stream.waitingChunks || waiting.bytes > Stream.waitingBytes {
                return "\(call.method) got a chunk though \(waiting.chunks) (\(waiting.bytes) bytes) wait"
            }
        } else if chunk.isFinal != true || chunk.kind != "metadata" {
            return "\(call.method) got a chunk that says why the stream ends, and does not end it"
        }
        self.streams[call.nonce] = stream
        return nil
    }

    private mutating func judge(_ answer: Answer, _ call: Ledger.Call, _ stream: Received) -> String? {
        let isOwed = call.method == "rag.stream" && !Self.unstreamed.contains(answer.code ?? 0)
        guard isOwed || stream.chunks > 0 else { return nil }
        self.isTested = true
        guard let final = stream.final else { return "\(call.method) was answered without a final chunk" }
        if answer.reason != "slow_consumer", stream.ofWorkers != call.stream.chunks {
            return
                "\(call.method) got \(stream.ofWorkers) of the \(call.stream.chunks) chunks its worker wrote"
        }
        guard let reason = final.reason else { return nil }
        let expected =
            answer.result != nil
            ? "done" : answer.reason.map { $0 == "deadline_exceeded" ? "timeout" : $0 } ?? "error"
        return reason == expected ? nil : "\(call.method) ended with \(reason), and was answered \(expected)"
    }

    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? {
        let patience = ledger.configuration.timeouts.streamIdle + ledger.lag
        for process in ledger.processes.values where process.cutOffAt == nil {
            for open in process.open.values where open.cancelledAt == nil {
                guard let call = ledger.calls[open.nonce], !call.isAnswered, !call.isNotification,
                    call.method == "rag.stream" || call.stream.chunks > 0,
                    ledger.now.duration(since: call.stream.lastAt ?? open.sentAt) > patience
                else { continue }
                return "\(call.method) stands still, and goes on"
            }
        }
        return nil
    }
}
