import Glibc
import Protocol

/// What a worker does with a call, wherever the call came from.
final class WorkerService: Sendable {
    let workerID: String
    let capabilities: WorkerCapabilities
    let holder: IndexHolder
    let metrics: CallMetrics
    private let started: MonotonicClock

    init(workerID: String, capabilities: WorkerCapabilities, holder: IndexHolder) {
        self.workerID = workerID
        self.capabilities = capabilities
        self.holder = holder
        self.started = .now
        self.metrics = CallMetrics(methods: WorkerCapabilities.methods, now: self.started)
    }

    /// Answers a method that only reads, at once; nil when the method is another.
    ///
    /// - Parameter active: calls that are not answered yet.
    func immediateResult(of method: String, params: JSONValue?, active: Int) throws(RPCError) -> JSONValue? {
        switch method {
        case "ping":
            return ["message": "pong", "timestamp": .double(Double(WallClock.milliseconds) / 1000)]
        case "health.check":
            return self.health(active: active)
        case "metrics.get":
            let parameters = try MetricsParameters(params)
            return self.metrics.report(
                workerID: self.workerID, timeRange: parameters.timeRange, reset: parameters.reset, now: .now)
        default:
            return nil
        }
    }

    /// Answers `rag.execute` and appends the result.
    ///
    /// - Parameter checkpoint: asked between the steps; throws when the caller has given up.
    func execute(
        _ params: JSONValue?, received: MonotonicClock, checkpoint: () throws(RPCError) -> Void,
        to output: inout [UInt8]
    ) throws(RPCError) {
        let parameters = try ExecuteParameters(params)
        try checkpoint()
        let snapshot = self.holder.current()
        guard let index = snapshot.index else {
            throw .unusableIndex(snapshot.failure ?? IndexError(reason: .missing, path: ""))
        }
        let result = try QuestionAnswering(parameters: parameters, index: index)
            .run(since: received, checkpoint: checkpoint)
        let timestamp = Timestamp.text(millisecondsSince1970: WallClock.milliseconds)
        result.write(workerID: self.workerID, timestamp: timestamp, to: &output)
    }

    private func health(active: Int) -> JSONValue {
        let snapshot = self.holder.current()
        let totals = self.metrics.totals
        var members: [JSONValue.Member] = [
            .init("status", snapshot.failure == nil ? "healthy" : "degraded"),
            .init("worker_id", .string(self.workerID)),
            .init("pid", .integer(getpid())),
            .init("uptime_seconds", .milliseconds(self.started.millisecondsAgo / 1000)),
            .init("request_count", .integer(totals.requests)),
            .init("error_count", .integer(totals.errors)),
            .init("error_rate", .double(CallMetrics.rate(totals.errors, of: totals.requests))),
            .init("active_requests", .integer(active)),
            .init("memory_usage", ProcessMemory.report()),
            .init(
                "pipelines_loaded", .array((snapshot.index == nil ? [] : Technique.names).map { .string($0) })
            ),
            .init("capabilities", self.capabilities.json(snapshot.index)),
        ]
        if let failure = snapshot.failure {
            members.append(.init("reasons", [.string(RPCError.unusableIndex(failure).message)]))
        }
        return .object(members)
    }
}

/// The time of day.
enum WallClock {
    /// Milliseconds since 1970.
    static var milliseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
