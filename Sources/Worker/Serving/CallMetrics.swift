import Protocol

/// What was asked of this worker and how it went, by method; all of it measured here.
final class CallMetrics: Sendable {
    private struct State {
        /// When the figures below begin.
        var since: MonotonicClock
        var wasReset = false
        var all = MethodFigures()
        var minutes = FigureRing(slotSeconds: 60, count: 60)
        var hours = FigureRing(slotSeconds: 3_600, count: 7 * 24)
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

    func record(_ method: String, milliseconds: Double, isError: Bool, now: MonotonicClock = .now) {
        let name = self.methods.contains(method) ? method : "other"
        self.state.withLock { state in
            state.requests += 1
            state.errors += isError ? 1 : 0
            state.all.record(name, milliseconds: milliseconds, isError: isError)
            state.minutes.record(name, milliseconds: milliseconds, isError: isError, now: now)
            state.hours.record(name, milliseconds: milliseconds, isError: isError, now: now)
        }
    }

    /// Requests and errors since the start, resets or not.
    var totals: (requests: Int, errors: Int) { self.state.withLock { ($0.requests, $0.errors) } }

    /// The result of `metrics.get`.
    ///
    /// Ranges up to an hour are made of minutes, longer ones of hours; `window` says what was covered.
    ///
    /// - Parameters:
    ///   - timeRange: nil: since the start or the last reset.
    ///   - reset: forget the figures after reading them.
    func report(
        workerID: String, timeRange: MetricsTimeRange?, reset: Bool, now: MonotonicClock
    ) -> JSONValue {
        let taken = self.state.withLock { state -> State in
            let taken = state
            if reset {
                state = State(
                    since: now, wasReset: true, requests: taken.requests, errors: taken.errors)
            }
            return taken
        }
        var figures = taken.all
        var start = taken.since
        if let timeRange {
            let ring = timeRange.seconds <= 3_600 ? taken.minutes : taken.hours
            (figures, start) = ring.figures(ofLast: timeRange.seconds, now: now)
        }
        let isWhole = timeRange == nil || start <= taken.since
        let window: JSONValue = [
            "time_range": .string(timeRange?.rawValue),
            "since": .string(isWhole ? (taken.wasReset ? "reset" : "start") : "time_range"),
            "seconds": .milliseconds(now.milliseconds(since: max(start, taken.since)) / 1000),
        ]
        return Self.json(figures, workerID: workerID, window: window)
    }

    private static func json(_ figures: MethodFigures, workerID: String, window: JSONValue) -> JSONValue {
        let methods = figures.byMethod.sorted { $0.key < $1.key }.map { name, figures in
            JSONValue.Member(name, self.json(figures))
        }
        return [
            "total_requests": .integer(figures.requests), "total_errors": .integer(figures.errors),
            "error_rate": .double(self.rate(figures.errors, of: figures.requests)),
            "by_type": .object(methods),
            "worker_id": .string(workerID), "window": window,
        ]
    }

    /// Errors a request, 0 when there was none.
    static func rate(_ errors: Int, of requests: Int) -> Double {
        requests > 0 ? (Double(errors) / Double(requests) * 1e6).rounded() / 1e6 : 0
    }

    private static func json(_ figures: MethodFigures.Figures) -> JSONValue {
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

/// A span of time that `metrics.get` can be asked for.
enum MetricsTimeRange: String, CaseIterable {
    case minute = "1m"
    case fiveMinutes = "5m"
    case quarter = "15m"
    case hour = "1h"
    case sixHours = "6h"
    case day = "24h"
    case week = "7d"

    var seconds: Int64 {
        switch self {
        case .minute: 60
        case .fiveMinutes: 300
        case .quarter: 900
        case .hour: 3_600
        case .sixHours: 21_600
        case .day: 86_400
        case .week: 604_800
        }
    }
}

/// The params of `metrics.get`.
struct MetricsParameters: Equatable {
    var timeRange: MetricsTimeRange?
    var reset = false

    init(_ params: JSONValue?) throws(RPCError) {
        guard let params else { return }
        let reader = try ParameterReader(params, path: "", known: ["time_range", "scope", "reset"])
        if let name = try reader.string("time_range") {
            guard let timeRange = MetricsTimeRange(rawValue: name) else {
                let names = MetricsTimeRange.allCases.map(\.rawValue).joined(separator: ", ")
                throw .parameter("time_range", expected: "one of \(names)", found: .string(name))
            }
            self.timeRange = timeRange
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
