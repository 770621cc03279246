import Protocol

/// What was asked of this worker and how it went, by method; all of it measured here.
final class CallMetrics: Sendable {
    private struct MethodFigures {
        var errors = 0
        var latency = LatencyHistogram()
    }

    private struct State {
        var byMethod: [String: MethodFigures] = [:]
        var since: MonotonicClock
        var wasReset = false
        /// Never reset: for the health check.
        var requests = 0
        var errors = 0
    }

    /// Methods that get figures of their own; any other name a client thinks up is `other`.
    private let methods: Set<String>
    private let state: Locked<State>

    init(methods: some Sequence<String>, now: MonotonicClock) {
        self.methods = Set(methods)
        self.state = Locked(State(since: now))
    }

    func record(_ method: String, milliseconds: Double, isError: Bool) {
        let name = self.methods.contains(method) ? method : "other"
        self.state.withLock { state in
            state.requests += 1
            state.errors += isError ? 1 : 0
            state.byMethod[name, default: MethodFigures()].latency.record(milliseconds: milliseconds)
            state.byMethod[name, default: MethodFigures()].errors += isError ? 1 : 0
        }
    }

    /// Requests and errors since the start, resets or not.
    var totals: (requests: Int, errors: Int) { self.state.withLock { ($0.requests, $0.errors) } }

    /// The result of `metrics.get`.
    ///
    /// - Parameters:
    ///   - timeRange: the range that was asked for. Figures are kept since the start or the last reset only;
    ///     `window` says what they cover.
    ///   - reset: forget the figures after reading them.
    func report(workerID: String, timeRange: String?, reset: Bool, now: MonotonicClock) -> JSONValue {
        let taken = self.state.withLock { state -> State in
            let taken = state
            if reset {
                state.byMethod = [:]
                state.since = now
                state.wasReset = true
            }
            return taken
        }
        let requests = taken.byMethod.values.reduce(0) { $0 + $1.latency.count }
        let errors = taken.byMethod.values.reduce(0) { $0 + $1.errors }
        let methods = taken.byMethod.sorted { $0.key < $1.key }.map { name, figures in
            JSONValue.Member(name, Self.json(figures))
        }
        let window: JSONValue = [
            "requested": .string(timeRange), "since": .string(taken.wasReset ? "reset" : "start"),
            "seconds": .milliseconds(now.milliseconds(since: taken.since) / 1000),
        ]
        return [
            "total_requests": .integer(requests), "total_errors": .integer(errors),
            "error_rate": .double(Self.rate(errors, of: requests)), "by_type": .object(methods),
            "worker_id": .string(workerID), "window": window,
        ]
    }

    /// Errors a request, 0 when there was none.
    static func rate(_ errors: Int, of requests: Int) -> Double {
        requests > 0 ? (Double(errors) / Double(requests) * 1e6).rounded() / 1e6 : 0
    }

    private static func json(_ figures: MethodFigures) -> JSONValue {
        let latency = figures.latency
        return [
            "count": .integer(latency.count), "errors": .integer(figures.errors),
            "avg_time_ms": .milliseconds(latency.average), "min_time_ms": .milliseconds(latency.minimum),
            "max_time_ms": .milliseconds(latency.maximum),
            "p50_time_ms": .milliseconds(latency.quantile(0.5)),
            "p95_time_ms": .milliseconds(latency.quantile(0.95)),
            "p99_time_ms": .milliseconds(latency.quantile(0.99)),
        ]
    }
}

/// The params of `metrics.get`.
struct MetricsParameters: Equatable {
    static let timeRanges = ["1m", "5m", "15m", "1h", "6h", "24h", "7d"]

    var timeRange: String?
    var reset = false

    init(_ params: JSONValue?) throws(RPCError) {
        guard let params else { return }
        let reader = try ParameterReader(params, path: "", known: ["time_range", "scope", "reset"])
        self.timeRange = try reader.string("time_range")
        if let timeRange, !Self.timeRanges.contains(timeRange) {
            throw .parameter(
                "time_range", expected: "one of \(Self.timeRanges.joined(separator: ", "))",
                found: .string(timeRange))
        }
        let scope = try reader.string("scope") ?? "worker"
        guard scope != "pool" else {
            throw .invalidParams("scope", "expected \"worker\": the figures of the pool are the supervisor's")
        }
        guard scope == "worker" else {
            throw .parameter("scope", expected: "\"worker\"", found: .string(scope))
        }
        self.reset = try reader.bool("reset") ?? false
    }
}
