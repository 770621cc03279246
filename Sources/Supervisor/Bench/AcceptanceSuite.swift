import Protocol

/// `bench --suite ipc`: the acceptance run of this product's predecessors, one caller that waits for every answer.
struct AcceptanceSuite {
    struct Line: Equatable {
        var name: String
        var passes: Bool
        var detail: String
        /// What the predecessors reached; empty where it is not known.
        var predecessors = ""
    }

    /// What no call may take longer than, 95 of 100 of many.
    static let target = Nanoseconds.milliseconds(50)
    static let standardQuery =
        #"{"technique":"bm25","query":"What happens when a worker crashes?"}"#

    private let query: CallTemplate
    private let ping = CallTemplate(method: "ping")
    /// Whether nobody else calls.
    private let isAlone: Bool
    private(set) var lines: [Line] = []
    private var sentPings = 0
    private var sentQueries = 0

    /// - Parameter queryParams: of `rag.execute`.
    init(queryParams: String, isAlone: Bool) {
        // Workers are to answer, not the cache.
        self.query = CallTemplate(
            method: "rag.execute", params: queryParams, metadata: #"{"cache":"bypass"}"#)
        self.isAlone = isAlone
    }

    var hasFailed: Bool { self.lines.contains { !$0.passes } }

    mutating func run(on target: BenchTarget, _ signals: borrowing SignalQueue) throws(CommandFailure) {
        let methods = [self.ping.method, self.query.method]
        let before = try target.callCount(methods)
        let ping = try self.call(self.ping, 1, target, signals)
        self.note("ping", ping)
        let pings = try self.call(self.ping, 100, target, signals)
        self.note("100 pings", pings, "0.22 ms average, p95 0.26 ms")
        self.note("query", try self.call(self.query, 1, target, signals))
        self.note("50 queries", try self.call(self.query, 50, target, signals))
        self.noteThroughput(try self.call(self.ping, 20, target, signals))
        let after = try target.callCount(methods)
        self.noteCounts(zip(after, before).map { $0 - $1 })
    }

    private mutating func call(
        _ template: CallTemplate, _ count: Int, _ target: BenchTarget, _ signals: borrowing SignalQueue
    ) throws(CommandFailure) -> LoadFigures {
        if template.method == self.ping.method { self.sentPings += count } else { self.sentQueries += count }
        return try BenchCommand.round(
            LoadPlan(connections: 1, depth: 1, extent: .calls(count)),
            CallMix([(template, 1)], seed: 1), target, signals)
    }
}

// MARK: - Verdicts

extension AcceptanceSuite {
    /// One call, or many: their 95th percentile counts.
    mutating func note(_ name: String, _ figures: LoadFigures, _ predecessors: String = "") {
        guard let fault = Self.fault(figures) else {
            let latencies = figures.latencies
            let p95 = latencies.quantile(0.95) ?? 0
            let text = Self.milliseconds
            let detail =
                figures.results == 1
                ? text(Double(latencies.maximum))
                : "average \(text(latencies.average ?? 0)), min \(text(Double(latencies.minimum))), "
                    + "max \(text(Double(latencies.maximum))), p95 \(text(Double(p95)))"
            return self.add(name, p95 <= UInt64(Self.target), detail, predecessors)
        }
        self.add(name, false, fault, predecessors)
    }

    mutating func noteThroughput(_ figures: LoadFigures) {
        let name = "20 rapid calls"
        let predecessors = "4,113 calls/s"
        guard Self.fault(figures) == nil, !figures.isFailed, let average = figures.latencies.average else {
            return self.add(name, false, Self.fault(figures) ?? "no figures", predecessors)
        }
        let rate = BenchMeasure.throughput.value(of: figures) ?? 0
        self.add(
            name, average <= Double(Self.target), "\(BenchText.grouped(rate)) calls/s", predecessors)
    }

    /// What the supervisor has counted of pings and queries.
    mutating func noteCounts(_ counted: [Int64]) {
        let sent = [self.sentPings, self.sentQueries]
        let passes = zip(counted, sent).allSatisfy { counted, sent in
            self.isAlone ? counted == sent : counted >= sent
        }
        let texts = zip([self.ping.method, self.query.method], zip(sent, counted)).map { name, numbers in
            "\(name) \(numbers.0) sent, \(numbers.1) counted"
        }
        self.add("its own counters", passes, texts.joined(separator: "; "), "")
    }

    private mutating func add(_ name: String, _ passes: Bool, _ detail: String, _ predecessors: String) {
        self.lines.append(Line(name: name, passes: passes, detail: detail, predecessors: predecessors))
    }

    /// Why there is nothing to measure.
    private static func fault(_ figures: LoadFigures) -> String? {
        if let failure = figures.failure { return failure }
        if let error = figures.errors.first {
            return "\(figures.errorCount) of \(figures.calls) calls failed: "
                + "\(Excerpt.escaped(error.message, limit: 200)) (\(error.code))"
        }
        guard figures.unanswered == 0, figures.results > 0 else {
            return "\(figures.unanswered) of \(figures.calls) calls were not answered"
        }
        return nil
    }

    private static func milliseconds(_ nanoseconds: Double) -> String {
        "\(StatusTable.rounded(nanoseconds / 1_000_000, 2)) ms"
    }
}

// MARK: - Printing

extension AcceptanceSuite {
    var text: String {
        let rows = self.lines.map { line in
            [
                line.name, line.passes ? "PASS" : "FAIL", line.detail,
                line.predecessors.isEmpty ? "" : "predecessors: \(line.predecessors)",
            ]
        }
        let failures = self.lines.count { !$0.passes }
        return AlignedTable.text(rows, textColumns: [0, 1, 2, 3])
            + "\(self.lines.count - failures) passed, \(failures) failed; the target is "
            + "\(DurationText.text(Self.target))\n"
    }

    var json: JSONValue {
        [
            "suite": "ipc", "passed": .bool(!self.hasFailed),
            "target_ms": .double(Self.target.inMilliseconds),
            "lines": .array(
                self.lines.map { line in
                    [
                        "name": .string(line.name), "passed": .bool(line.passes),
                        "detail": .string(line.detail),
                        "predecessors": .string(line.predecessors.isEmpty ? nil : line.predecessors),
                    ]
                }),
        ]
    }
}
