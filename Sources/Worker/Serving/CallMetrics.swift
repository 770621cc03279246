import Protocol

/// What was asked of this worker and how it went, by method; all of it measured here.
final class CallMetrics: Sendable {
    private struct State {
        var history: CallHistory
        /// Never reset: for the health check.
        var requests = 0
        var errors = 0
    }

    /// Methods that get figures of their own; any other name a client thinks up is the first, `other`.
    private let names: [String]
    private let state: Locked<State>

    init(methods: some Sequence<String>, now: MonotonicClock) {
        self.names = ["other"] + methods
        self.state = Locked(State(history: CallHistory(now: now.nanoseconds)))
    }

    func record(_ method: String, nanoseconds: Int64, isError: Bool, now: MonotonicClock) {
        let number = self.names.firstIndex(of: method) ?? 0
        self.state.withLock { state in
            state.requests += 1
            state.errors += isError ? 1 : 0
            state.history.record(
                method: number, nanoseconds: nanoseconds, isError: isError, now: now.nanoseconds)
        }
    }

    /// Requests and errors since the start, resets or not.
    var totals: (requests: Int, errors: Int) { self.state.withLock { ($0.requests, $0.errors) } }

    /// The result of `metrics.get`; a reset forgets the figures after they were read.
    func report(_ parameters: MetricsParameters, workerID: String, now: MonotonicClock) -> JSONValue {
        self.state.withLock { state in
            defer { if parameters.reset { state.history.reset(now: now.nanoseconds) } }
            return state.history.report(
                parameters.timeRange, workerID: workerID, names: self.names, now: now.nanoseconds)
        }
    }
}

extension MetricsParameters {
    /// The params of a question to one worker.
    init(forWorker params: JSONValue?) throws(RPCError) {
        try self.init(params)
        guard self.scope == .worker else {
            throw .invalidParams("scope", "expected \"worker\": the figures of the pool are the supervisor's")
        }
    }
}
