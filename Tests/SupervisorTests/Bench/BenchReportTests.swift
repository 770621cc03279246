import Protocol
import Testing

@testable import Supervisor

@Suite struct BenchReportTests {
    private static let load: JSONValue = ["depth": 1, "rate": .null, "duration_ms": 1000]

    /// A round of a second.
    private func round(results: Int, microseconds: Int64 = 100, failure: String? = nil) -> LoadFigures {
        var figures = LoadFigures()
        figures.results = results
        figures.arrivals = results
        figures.answers = results
        figures.window = .seconds(1)
        figures.failure = failure
        for _ in 0..<results { figures.latencies.record(nanoseconds: microseconds * 1000) }
        return figures
    }

    private func saved(_ report: BenchReport) throws -> SavedBench { try SavedBench(report.json.bytes) }

    // MARK: Statistics

    @Test func theMedianLiesInTheMiddle() throws {
        #expect(BenchSpread([3, 1, 2]) == BenchSpread(median: 2, least: 1, most: 3))
        #expect(BenchSpread([4, 1, 2, 3]) == BenchSpread(median: 2.5, least: 1, most: 4))
        #expect(BenchSpread([5]) == BenchSpread(median: 5, least: 5, most: 5))
        #expect(BenchSpread([]) == nil)
        #expect(try #require(BenchSpread([90, 100, 110])).width == 0.2)
    }

    @Test func theFiguresAreTheMedianOfTheRounds() throws {
        let report = BenchReport(
            load: Self.load,
            rounds: [self.round(results: 100), self.round(results: 300), self.round(results: 200)])
        #expect(report.spreads[.throughput] == BenchSpread(median: 200, least: 100, most: 300))
        let p99 = try #require(report.spreads[.p99]?.median)
        #expect(abs(p99 - 100) < 1)
        #expect(report.spreads[.supervisorTime] == nil, "nobody looked")
        #expect(report.total.calls == 600)
    }

    @Test func processorTimeIsSharedByAllAnswers() {
        var round = self.round(results: 50)
        round.answers = 100
        round.processorTime = ProcessorTime(
            supervisor: .milliseconds(1), workers: nil, client: .milliseconds(2))
        #expect(BenchMeasure.supervisorTime.value(of: round) == 10)
        #expect(BenchMeasure.clientTime.value(of: round) == 20)
        #expect(BenchMeasure.workerTime.value(of: round) == nil)
    }

    @Test func processorTimeIsUnknownWhenAProcessWasReplaced() {
        let before = ProcessorTime(supervisor: 5, workers: 100, client: 1)
        let after = ProcessorTime(supervisor: 9, workers: 20, client: 4)
        #expect(after.since(before) == ProcessorTime(supervisor: 4, workers: nil, client: 3))
    }

    // MARK: Failed rounds

    @Test func aFailedRoundIsLeftOutAndNamed() {
        let report = BenchReport(
            load: Self.load,
            rounds: [
                self.round(results: 100), self.round(results: 0),
                self.round(results: 5, failure: "the supervisor closed a connection"),
            ])
        #expect(report.failedRounds == 2)
        #expect(report.spreads[.throughput] == BenchSpread(median: 100, least: 100, most: 100))
        let text = BenchReportText.text(report)
        #expect(
            text.contains("! round 2 failed and is left out: no call was answered with a result in time\n"))
        #expect(text.contains("! round 3 failed and is left out: the supervisor closed a connection\n"))
    }

    @Test func nothingIsDividedWhenAllRoundsFailed() throws {
        let report = BenchReport(load: Self.load, rounds: [self.round(results: 0)])
        #expect(report.spreads.isEmpty && report.noise == nil)
        #expect(!BenchReportText.text(report).contains("throughput"))
        let saved = try self.saved(report)
        #expect(saved.spreads.isEmpty)
        let other = BenchReport(load: Self.load, rounds: [self.round(results: 10)])
        #expect(BenchReportText.text(other, comparedWith: saved).contains("  -"))
    }

    @Test func errorsStandBesideTheThroughput() {
        var round = self.round(results: 10)
        round.errors = [.init(code: 2002, count: 1234, message: "the queue\u{7} is full")]
        round.unsent = 3
        let text = BenchReportText.text(BenchReport(load: Self.load, rounds: [round, round]))
        #expect(text.contains("errors: 2,468\n  2002: 2,468  the queue\\x07 is full\n"))
        #expect(text.contains("never sent: 6  due, but as many as allowed were in flight\n"))
    }

    // MARK: Noise

    @Test func saysWhenTheRoundsDifferTooMuch() throws {
        let noisy = BenchReport(
            load: Self.load, rounds: [self.round(results: 100), self.round(results: 150)])
        #expect(try #require(noisy.noise).contains("the rounds differ by 40.0 % in throughput"))
        let calm = BenchReport(
            load: Self.load, rounds: [self.round(results: 100), self.round(results: 101)])
        #expect(calm.noise == nil)
    }

    @Test func atAFixedRateTheLatencyShowsTheNoise() throws {
        let report = BenchReport(
            load: ["rate": 100],
            rounds: [
                self.round(results: 100, microseconds: 100), self.round(results: 100, microseconds: 200),
            ])
        #expect(try #require(report.noise).contains("in p50"))
    }

    @Test func saysWhenTheClientItselfHadNoTimeLeft() throws {
        var round = self.round(results: 10)
        round.processorTime = ProcessorTime(supervisor: nil, workers: nil, client: .milliseconds(899))
        #expect(BenchReport(load: Self.load, rounds: [round]).clientLimit == nil)
        round.processorTime?.client = .milliseconds(950)
        let report = BenchReport(load: Self.load, rounds: [self.round(results: 10), round])
        #expect(BenchReportText.text(report).contains("! this client was busy for 95.0 % of a round"))
    }

    // MARK: Comparison

    @Test func aSavedRunIsReadAsItWasWritten() throws {
        let report = BenchReport(
            load: Self.load, rounds: [self.round(results: 100), self.round(results: 300)])
        let saved = try self.saved(report)
        #expect(saved.load == Self.load)
        #expect(saved.spreads == report.spreads)
    }

    @Test func ratiosStandBeside() throws {
        let before = BenchReport(
            load: Self.load, rounds: [self.round(results: 100), self.round(results: 102)])
        let after = BenchReport(
            load: ["depth": 4, "rate": .null, "duration_ms": 2000],
            rounds: [self.round(results: 200), self.round(results: 204)])
        let text = BenchReportText.text(after, comparedWith: try self.saved(before))
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("throughput") })
        #expect(
            line.split(whereSeparator: { $0 == " " }) == [
                "throughput", "202/s", "200/s", "204/s", "101/s", "2.00",
            ])
        let p50 = try #require(text.split(separator: "\n").first { $0.hasPrefix("p50") })
        #expect(p50.hasSuffix("1.00  the rounds overlap"))
        #expect(text.contains("! the saved run was another load: depth 1, now 4\n"))
    }

    @Test func oneRoundIsNotEnoughToCompare() throws {
        let report = BenchReport(load: Self.load, rounds: [self.round(results: 100)])
        let text = BenchReportText.text(report, comparedWith: try self.saved(report))
        #expect(text.contains("! one round does not show how far rounds differ"))
    }

    @Test(arguments: [
        "", "{}", "[1]", "{\"format\":\"supervisor bench 1\"}", "not JSON",
        #"{"format":"other","figures":{},"load":{}}"#,
    ])
    func whatIsNoSavedRunIsRefused(text: String) {
        #expect(throws: JSONError.self) { try SavedBench(Array(text.utf8)) }
    }

    @Test func aFileThatIsNoSavedRunIsNamed() throws {
        try TestDirectory.with { directory in
            try directory.write(Array("{}".utf8), to: "run.json")
            let failure = #expect(throws: CommandFailure.self) {
                try BenchCommand.readSaved(directory.file("run.json"))
            }
            #expect(failure?.exitCode == 2)
            let message = try #require(failure?.message)
            #expect(
                message.hasPrefix("--compare: \(directory.path)/run.json is no run that --save has written"))
            let missing = #expect(throws: CommandFailure.self) {
                try BenchCommand.readSaved(directory.file("none"))
            }
            #expect(missing?.message.contains("No such file") == true)
        }
    }

    // MARK: Text

    @Test func latenciesAreDrawnInStepsOfOneTwoFive() {
        var latencies = LatencyHistogram()
        for _ in 0..<30 { latencies.record(nanoseconds: 75_000) }
        for _ in 0..<10 { latencies.record(nanoseconds: 300_000) }
        let bar = String(repeating: "█", count: 40)
        let short = String(repeating: "█", count: 14)
        #expect(
            LatencyChart.text(latencies) == """
                 50 µs  100 µs  \(bar)  75.0 %  30
                100 µs  200 µs  \(String(repeating: " ", count: 40))   0.0 %   0
                200 µs  500 µs  \(short)\(String(repeating: " ", count: 26))  25.0 %  10

                """)
        #expect(LatencyChart.text(LatencyHistogram()) == "")
    }

    @Test func latenciesBeyondTheStepsAreInTheOutermost() {
        var latencies = LatencyHistogram()
        latencies.record(nanoseconds: 10)
        latencies.record(nanoseconds: 200_000_000_000)
        let lines = LatencyChart.text(latencies).split(separator: "\n")
        #expect(lines.count == 24)
        #expect(lines[0].contains("1 µs") && lines[23].contains("50 s"))
    }

    @Test(arguments: [
        (0.0, "0.00 µs"), (1.234, "1.23 µs"), (75.24, "75.2 µs"), (99.96, "100 µs"), (999.4, "999 µs"),
        (999.6, "1.00 ms"), (1234, "1.23 ms"), (999_600, "1.00 s"), (2_345_000, "2.35 s"),
    ])
    func durationsHaveThreeDigits(microseconds: Double, text: String) {
        #expect(BenchText.duration(microseconds) == text)
    }

    @Test(arguments: [(0, "0"), (999, "999"), (4113, "4,113"), (1_234_567, "1,234,567")])
    func largeNumbersHaveCommas(number: Int, text: String) {
        #expect(BenchText.grouped(number) == text)
    }

    // MARK: The suite

    private func calls(_ count: Int, microseconds: Int64) -> LoadFigures {
        var figures = self.round(results: count, microseconds: microseconds)
        figures.window = Nanoseconds(count) * microseconds * 1000
        return figures
    }

    @Test func theSuiteJudgesByItsTarget() {
        var suite = AcceptanceSuite(queryParams: "", isAlone: true)
        suite.note("ping", self.calls(1, microseconds: 200))
        suite.note("100 pings", self.calls(100, microseconds: 220), "0.22 ms average, p95 0.26 ms")
        suite.noteThroughput(self.calls(20, microseconds: 250))
        suite.noteCounts([0, 0])
        #expect(!suite.hasFailed)
        #expect(
            suite.lines.map(\.detail) == [
                "0.20 ms", "average 0.22 ms, min 0.22 ms, max 0.22 ms, p95 0.22 ms", "4,000 calls/s",
                "ping 0 sent, 0 counted; rag.execute 0 sent, 0 counted",
            ])
        suite.note("query", self.calls(1, microseconds: 50_001))
        #expect(suite.hasFailed)
        #expect(suite.text.hasSuffix("4 passed, 1 failed; the target is 50ms\n"))
        #expect(suite.text.contains("predecessors: 4,113 calls/s\n"))
        #expect(suite.json["passed"] == false)
    }

    @Test func aSuiteWithErrorsFailsWithTheFirst() {
        var suite = AcceptanceSuite(queryParams: "", isAlone: true)
        var figures = LoadFigures()
        figures.errors = [.init(code: -32601, count: 50, message: "Method not found: rag.execute")]
        suite.note("50 queries", figures)
        suite.noteThroughput(figures)
        #expect(suite.lines.allSatisfy { !$0.passes })
        #expect(suite.lines[0].detail == "50 of 50 calls failed: Method not found: rag.execute (-32601)")
    }

    @Test func theCountersMustAgreeUnlessOthersCall() {
        for (isAlone, counted, passes) in [(true, Int64(1), false), (false, 1, true), (false, -1, false)] {
            var suite = AcceptanceSuite(queryParams: "", isAlone: isAlone)
            suite.noteCounts([counted, 0])
            #expect(suite.lines[0].passes == passes)
        }
    }
}
