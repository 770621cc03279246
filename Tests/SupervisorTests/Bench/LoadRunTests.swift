import Protocol
import Testing

@testable import Supervisor

/// One round of load against a server of the test's own, in virtual time.
@Suite struct LoadRunTests {
    private static func at(_ milliseconds: Int64) -> Instant {
        Instant(nanoseconds: .milliseconds(milliseconds))
    }

    private static func plan(
        connections: Int = 1, depth: Int = 1, pace: LoadPlan.Pace = .closed, warmup: Int64 = 0,
        measured: Int64 = 1000
    ) -> LoadPlan {
        LoadPlan(
            connections: connections, depth: depth, pace: pace,
            extent: .time(warmup: .milliseconds(warmup), measured: .milliseconds(measured)))
    }

    /// Sends the call that is due.
    private static func send(_ run: inout LoadRun, _ now: Instant) throws -> LoadRun.Call {
        let call = run.next(now: now)
        return try #require(call)
    }

    private static func expectNothing(
        _ run: inout LoadRun, _ now: Instant, sourceLocation: Testing.SourceLocation = #_sourceLocation
    ) {
        let call = run.next(now: now)
        #expect(call == nil, sourceLocation: sourceLocation)
    }

    // MARK: The schedule

    @Test func aFixedRateIsEvenAndDoesNotDrift() {
        var schedule = LoadSchedule(rate: 3, from: Self.at(0))
        var first: [Int64] = []
        for _ in 0..<4 { first.append(schedule.take().nanoseconds) }
        #expect(first == [0, 333_333_333, 666_666_666, 1_000_000_000])
        for _ in 4..<300_000 { _ = schedule.take() }
        #expect(schedule.next == Self.at(100_000_000), "a hundred thousand seconds later, to the nanosecond")
    }

    @Test func theFastestRateOfAYearDoesNotOverflow() {
        var schedule = LoadSchedule(rate: 10_000_000, from: Self.at(0))
        _ = schedule.take()
        #expect(schedule.next.nanoseconds == 100)
    }

    @Test func aCallIsNotSentBeforeItIsDue() throws {
        var run = LoadRun(Self.plan(connections: 4, pace: .rate(100)), at: Self.at(0))
        _ = try Self.send(&run, Self.at(0))
        Self.expectNothing(&run, Self.at(9))
        #expect(run.nextWake(Self.at(9)) == Self.at(10))
        _ = try Self.send(&run, Self.at(10))
        Self.expectNothing(&run, Self.at(10))
    }

    @Test func callsThatAreDueAtOnceGoToDifferentConnections() throws {
        var run = LoadRun(Self.plan(connections: 3, depth: 2, pace: .rate(1000)), at: Self.at(0))
        var connections: [Int] = []
        for _ in 0..<6 { connections.append(try Self.send(&run, Self.at(10)).connection) }
        #expect(connections == [0, 1, 2, 0, 1, 2])
        Self.expectNothing(&run, Self.at(10))  // as many as allowed are in flight
    }

    // MARK: A stall

    /// A second of load on a server that answers four calls a millisecond, but none from 200 to 700 ms.
    private func figuresOfAStall(_ pace: LoadPlan.Pace) -> LoadFigures {
        var run = LoadRun(Self.plan(pace: pace), at: Self.at(0))
        var waiting: [UInt64] = []
        var now = Self.at(0)
        while !run.isOver(now) {
            let isStalled = Self.at(200) <= now && now < Self.at(700)
            for _ in 0..<4 {
                if !isStalled {
                    for id in waiting { run.answered(id, error: nil, now: now) }
                    waiting = []
                }
                while let call = run.next(now: now) { waiting.append(call.id) }
            }
            now = now.advanced(by: .milliseconds(1))
        }
        return run.finish(now: now)
    }

    @Test func aStallShowsInAllCallsThatWereDueMeanwhile() throws {
        // Depth 1: while the server stalls for half a second, one call is in flight and 499 wait to be sent.
        let open = self.figuresOfAStall(.rate(1000))
        let median = try #require(open.latencies.quantile(0.5))
        #expect(median > UInt64(Nanoseconds.milliseconds(1)))
        let p90 = try #require(open.latencies.quantile(0.9))
        #expect(p90 > UInt64(Nanoseconds.milliseconds(300)), "a fifth of the calls waited longer")
        #expect(open.latencies.count == 1000)
    }

    @Test func aClosedLoopDoesNotSeeTheStall() throws {
        let closed = self.figuresOfAStall(.closed)
        #expect(closed.latencies.maximum == UInt64(Nanoseconds.milliseconds(501)))
        let p99 = try #require(closed.latencies.quantile(0.99))
        #expect(p99 < UInt64(Nanoseconds.milliseconds(2)), "but one call: this is what a fixed rate is for")
    }

    @Test func whatWasDueIsSentBehindTheWindowAsWell() throws {
        var run = LoadRun(Self.plan(pace: .rate(10)), at: Self.at(0))
        var call = try Self.send(&run, Self.at(0))
        Self.expectNothing(&run, Self.at(900))  // one is in flight, and more are not allowed
        for _ in 1..<10 {
            run.answered(call.id, error: nil, now: Self.at(1500))
            #expect(!run.isOver(Self.at(1500)))
            call = try Self.send(&run, Self.at(1500))
        }
        run.answered(call.id, error: nil, now: Self.at(1500))
        Self.expectNothing(&run, Self.at(1500))
        #expect(run.isOver(Self.at(1500)))
        let figures = run.finish(now: Self.at(1500))
        #expect(figures.results == 10 && figures.unsent == 0 && figures.arrivals == 0)
        #expect(figures.latencies.minimum == UInt64(Nanoseconds.milliseconds(600)))
    }

    @Test func whatWasDueAndNeverSentCountsWithTheTimeThatItHadWaited() throws {
        var run = LoadRun(Self.plan(pace: .rate(10)), at: Self.at(0))
        let call = try Self.send(&run, Self.at(0))
        run.answered(call.id, error: nil, now: Self.at(5))
        _ = try Self.send(&run, Self.at(100))
        #expect(!run.isOver(Self.at(5999)) && run.isOver(Self.at(6000)))
        let figures = run.finish(now: Self.at(6000))
        #expect(figures.results == 1 && figures.unanswered == 1 && figures.unsent == 8)
        #expect(figures.calls == 10 && figures.latencies.count == 10)
        #expect(figures.latencies.quantile(0.2) ?? 0 >= UInt64(Nanoseconds.milliseconds(5000)))
    }

    // MARK: Answers

    @Test func aClosedLoopSendsOneForEachAnswer() throws {
        var run = LoadRun(Self.plan(connections: 2, depth: 1), at: Self.at(0))
        let first = try Self.send(&run, Self.at(0))
        let second = try Self.send(&run, Self.at(0))
        #expect([first.connection, second.connection] == [0, 1])
        Self.expectNothing(&run, Self.at(0))
        run.answered(second.id, error: nil, now: Self.at(5))
        let third = try Self.send(&run, Self.at(5))
        #expect(third.connection == 1 && third.id != second.id)
        #expect(String(third.id).count == CallTemplate.idDigits)
    }

    @Test func aSecondAnswerIsNobodysAnswer() throws {
        var run = LoadRun(Self.plan(), at: Self.at(0))
        let call = try Self.send(&run, Self.at(0))
        run.answered(call.id, error: nil, now: Self.at(1))
        run.answered(call.id, error: nil, now: Self.at(2))
        _ = run.next(now: Self.at(2))
        run.answered(call.id, error: nil, now: Self.at(3))
        run.answered(7, error: nil, now: Self.at(3))
        run.answered(.max, error: nil, now: Self.at(3))
        let figures = run.finish(now: Self.at(3))
        #expect(figures.strays == 4)
        #expect(figures.results == 1)
    }

    @Test func errorsAreCountedByCodeAndKeptOutOfLatencyAndThroughput() throws {
        var run = LoadRun(Self.plan(depth: 4), at: Self.at(0))
        var ids: [UInt64] = []
        for _ in 0..<4 { ids.append(try Self.send(&run, Self.at(0)).id) }
        for id in ids.prefix(2) {
            Array(#"{"code":2002,"message":"full"}"#.utf8).withUnsafeBytes {
                run.answered(id, error: $0, now: Self.at(1))
            }
        }
        Array(#"{"message":"no code"}"#.utf8).withUnsafeBytes {
            run.answered(ids[2], error: $0, now: Self.at(1))
        }
        run.answered(ids[3], error: nil, now: Self.at(2))
        let figures = run.finish(now: Self.at(2))
        #expect(
            figures.errors == [
                .init(code: 2002, count: 2, message: "full"), .init(code: 0, count: 1, message: "no code"),
            ])
        #expect(figures.errorCount == 3 && figures.results == 1 && figures.latencies.count == 1)
        #expect(figures.arrivals == 1 && figures.answers == 4)
    }

    @Test func theWarmUpIsNotCounted() throws {
        var run = LoadRun(Self.plan(warmup: 100, measured: 100), at: Self.at(0))
        for now in Int64(0)..<205 {
            if let call = run.next(now: Self.at(now)) {
                run.answered(call.id, error: nil, now: Self.at(now + 1))
            }
        }
        #expect(run.isOver(Self.at(205)))
        let figures = run.finish(now: Self.at(205))
        #expect(figures.results == 100)
        #expect(figures.arrivals == 100, "one of the warm-up came in, one of the window came late")
        #expect(figures.window == .milliseconds(100))
    }

    @Test func callsWithoutAnAnswerAreWaitedForAndThenCounted() throws {
        var run = LoadRun(Self.plan(), at: Self.at(0))
        _ = try Self.send(&run, Self.at(999))
        #expect(!run.isOver(Self.at(1000)))
        #expect(run.nextWake(Self.at(1000)) == Self.at(6000))
        #expect(run.isOver(Self.at(6000)))
        let figures = run.finish(now: Self.at(6000))
        #expect(figures.unanswered == 1 && figures.calls == 1)
        #expect(figures.latencies.maximum == UInt64(Nanoseconds.milliseconds(5001)))
        #expect(figures.isFailed, "no result: nothing to divide by")
    }

    @Test func aNumberOfCallsEndsWithTheLastAnswer() throws {
        let plan = LoadPlan(connections: 1, depth: 1, extent: .calls(2))
        var run = LoadRun(plan, at: Self.at(0))
        for now in [Int64(0), 10] {
            let call = try Self.send(&run, Self.at(now))
            #expect(!run.isOver(Self.at(now)))
            run.answered(call.id, error: nil, now: Self.at(now + 5))
        }
        Self.expectNothing(&run, Self.at(20))
        #expect(run.isOver(Self.at(20)))
        let figures = run.finish(now: Self.at(20))
        #expect(figures.window == .milliseconds(15))
        #expect(figures.arrivals == 2)
    }
}
