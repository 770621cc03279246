/// Where the answer of a call goes.
enum ReplyTarget: Sendable {
    /// A line of its own.
    case line(OutputBuffer)
    /// A place in the answer of a batch.
    case batch(BatchReply)

    /// Appends the answer to the output; whoever answers flushes that when it has nothing more to answer.
    func send(_ message: [UInt8]) {
        switch self {
        case .line(let output): output.append(line: message)
        case .batch(let batch): batch.add(message)
        }
    }
}

/// Collects the answers of a batch and appends them as one array when the last has come.
final class BatchReply: Sendable {
    private struct State {
        var bytes: [UInt8] = [UInt8(ascii: "[")]
        /// Answers to come, and one for the scan of the batch itself.
        var awaited: Int
    }

    private let state: Locked<State>
    private let output: OutputBuffer

    /// - Parameter calls: how many answers there will be, notifications not counted.
    init(calls: Int, output: OutputBuffer) {
        self.state = Locked(State(awaited: calls))
        self.output = output
    }

    func add(_ message: [UInt8]) {
        let whole = self.state.withLock { state -> [UInt8]? in
            if state.bytes.count > 1 { state.bytes.append(UInt8(ascii: ",")) }
            state.bytes.append(contentsOf: message)
            state.awaited -= 1
            guard state.awaited == 0 else { return nil }
            state.bytes.append(UInt8(ascii: "]"))
            return state.bytes
        }
        if let whole { self.output.append(line: whole) }
    }
}
