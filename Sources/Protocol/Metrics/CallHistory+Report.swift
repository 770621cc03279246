extension CallHistory {
    /// Goes through the figures of a range, each series once, the sources one after another.
    ///
    /// - Parameter range: nil: all since the start or the last reset.
    /// - Returns: the time from which on they are.
    private func read(
        _ range: MetricsTimeRange?, now: Int64, _ body: (CallSeries, CallFigures) -> Void
    ) -> Int64 {
        let start = range.map { now - $0.nanoseconds }
        var (sources, covered) = self.closed.figures(since: start)
        if !self.open.isEmpty, start.map({ self.openEnd > $0 }) ?? true {
            sources.append(self.open.encoded())
            covered = covered ?? self.openStart
        }
        var merge = FiguresMerge(sources)
        while let series = merge.next() { body(series, merge.figures) }
        return start.map { max(self.since, min($0, covered ?? $0)) } ?? self.since
    }

    /// The result of `metrics.get` of a worker.
    ///
    /// - Parameters:
    ///   - range: nil: all since the start or the last reset.
    ///   - names: of the methods, by their numbers.
    public func report(
        _ range: MetricsTimeRange?, workerID: String, names: [String], now: Int64
    ) -> JSONValue {
        var all = FiguresReport()
        let from = self.read(range, now: now) { series, figures in
            all.add(figures, names[Int(series.method)])
        }
        return .object(
            all.members + [
                .init("worker_id", .string(workerID)), .init("window", self.window(range, from, now)),
            ])
    }

    /// The result of `metrics.get` with scope `pool`: the figures of all callers, and of each worker that lives or
    /// had calls in the range, with the time since its last call.
    public func report(_ range: MetricsTimeRange?, names: [String], now: Int64) -> JSONValue {
        var bySource: [UInt32: FiguresReport] = [0: FiguresReport()]
        for worker in self.known where worker.goneAt == nil { bySource[worker.source] = FiguresReport() }
        let from = self.read(range, now: now) { series, figures in
            bySource[series.source, default: FiguresReport()].add(figures, names[Int(series.method)])
        }
        let workers = self.known.compactMap { worker -> JSONValue.Member? in
            guard let report = bySource[worker.source] else { return nil }
            let age = Double(now - worker.lastCallAt) / 1e9
            return .init(
                worker.name,
                .object(report.members + [.init("age_seconds", .double((age * 1000).rounded() / 1000))]))
        }
        return .object(
            (bySource[0] ?? FiguresReport()).members + [
                .init("workers", .object(workers)), .init("window", self.window(range, from, now)),
            ])
    }

    /// What the figures cover: `since` says whether that reaches back to the start or a reset.
    private func window(_ range: MetricsTimeRange?, _ from: Int64, _ now: Int64) -> JSONValue {
        let beginning = self.wasReset ? "reset" : "start"
        return [
            "time_range": .string(range?.rawValue),
            "since": .string(from <= self.since ? beginning : "time_range"),
            "seconds": .double(Double((now - from) / 1_000_000) / 1000),
        ]
    }
}

/// The figures of one source, as `metrics.get` shows them.
private struct FiguresReport {
    private var count: UInt64 = 0
    private var errors: UInt64 = 0
    private var methods: [JSONValue.Member] = []

    mutating func add(_ figures: CallFigures, _ name: String) {
        self.count += figures.count
        self.errors += figures.errors
        self.methods.append(.init(name, Self.json(figures)))
    }

    var members: [JSONValue.Member] {
        [
            .init("total_requests", .integer(self.count)), .init("total_errors", .integer(self.errors)),
            .init("error_rate", .double(CallHistory.rate(self.errors, of: self.count))),
            .init("by_type", .object(self.methods.sorted { $0.name < $1.name })),
        ]
    }

    private static func json(_ figures: CallFigures) -> JSONValue {
        let latency = figures.latency
        func milliseconds(_ nanoseconds: UInt64?) -> JSONValue { .double(Double(nanoseconds ?? 0) / 1e6) }
        return [
            "count": .integer(figures.count), "errors": .integer(figures.errors),
            "avg_time_ms": milliseconds(latency.average.map { UInt64($0.rounded()) }),
            "min_time_ms": milliseconds(latency.minimum), "max_time_ms": milliseconds(latency.maximum),
            "p50_time_ms": milliseconds(latency.quantile(0.5)),
            "p95_time_ms": milliseconds(latency.quantile(0.95)),
            "p99_time_ms": milliseconds(latency.quantile(0.99)),
        ]
    }
}

extension CallHistory {
    /// Errors a call with six decimals, 0 when there was none.
    public static func rate(_ errors: some BinaryInteger, of calls: some BinaryInteger) -> Double {
        calls > 0 ? (Double(errors) / Double(calls) * 1e6).rounded() / 1e6 : 0
    }
}
