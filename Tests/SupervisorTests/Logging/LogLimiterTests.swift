import Testing

@testable import Supervisor

@Suite struct LogLimiterTests {
    private static let start = Instant(nanoseconds: .seconds(1000))

    private static func noise(_ worker: String) -> LogRecord {
        LogRecord(
            level: .warning, event: "worker.noise", fields: [("worker_id", .string(worker)), ("line", "x")])
    }

    /// How many of so many lines get through.
    private static func admitted(
        _ limiter: inout LogLimiter, _ count: Int, at now: Instant = start, _ record: (Int) -> LogRecord
    ) -> Int {
        (0..<count).count { limiter.admits(record($0), at: now) }
    }

    private static func texts(_ records: [LogRecord]) -> [String] {
        records.map { record in
            record.fields.reduce(into: "\(record.level) \(record.event)") { $0 += " \($1.key)=\($1.value)" }
        }.sorted()
    }

    @Test func cutsOffTheFloodOfOneWorkerAndOfNoOther() {
        var limiter = LogLimiter()
        #expect(Self.admitted(&limiter, 1000) { _ in Self.noise("a") } == 100)
        #expect(Self.admitted(&limiter, 50) { _ in Self.noise("b") } == 50)
        let other = LogRecord(level: .info, event: "worker.exited", fields: [("worker_id", "a")])
        #expect(Self.admitted(&limiter, 1) { _ in other } == 1, "nor its other events")
    }

    @Test func cutsOffTheFloodOfAUserWhateverHisProcess() {
        var limiter = LogLimiter()
        let admitted = Self.admitted(&limiter, 1000) { index in
            LogRecord(
                level: .warning, event: "operator.refused",
                fields: [("peer_pid", .integer(index)), ("peer_uid", 5)])
        }
        #expect(admitted == 100)
        #expect(
            Self.texts(limiter.report(at: Self.start.advanced(by: LogLimiter.window)))
                == [
                    "warning log.suppressed of=string(\"operator.refused\") peer_uid=whole(5) lines=whole(900)"
                ])
    }

    @Test func letsATraceOfAProgramThrough() {
        var limiter = LogLimiter()
        let admitted = Self.admitted(&limiter, 5000) { _ in
            LogRecord(level: .info, event: "worker.stderr", fields: [("worker_id", "a"), ("line", "x")])
        }
        #expect(admitted == 1000)
    }

    @Test func boundsWhatManyWorkersWriteTogether() {
        var limiter = LogLimiter()
        #expect(Self.admitted(&limiter, 20_000) { Self.noise("worker \($0)") } == 4000)
        #expect(
            Self.texts(limiter.report(at: Self.start.advanced(by: LogLimiter.window)))
                == ["warning log.suppressed of=string(\"worker.noise\") lines=whole(16000)"])
    }

    @Test func saysOnceHowManyWereLeftOutWhenTheTimeIsOver() {
        var limiter = LogLimiter()
        #expect(limiter.nextReport == nil)
        _ = Self.admitted(&limiter, 130) { _ in Self.noise("a") }
        _ = Self.admitted(&limiter, 101) { _ in Self.noise("b") }
        let end = Self.start.advanced(by: LogLimiter.window)
        #expect(limiter.nextReport == end)
        #expect(limiter.report(at: end.advanced(by: -1)).isEmpty)
        #expect(
            Self.texts(limiter.report(at: end)) == [
                "warning log.suppressed of=string(\"worker.noise\") worker_id=string(\"a\") lines=whole(30)",
                "warning log.suppressed of=string(\"worker.noise\") worker_id=string(\"b\") lines=whole(1)",
            ])
        #expect(limiter.nextReport == nil)
        #expect(limiter.report(at: end).isEmpty)
        #expect(Self.admitted(&limiter, 130, at: end) { _ in Self.noise("a") } == 100, "a new count begins")
    }

    @Test func forgetsWhoWroteInATimeThatIsOver() {
        var limiter = LogLimiter()
        #expect(Self.admitted(&limiter, 100) { _ in Self.noise("a") } == 100)
        let later = Self.start.advanced(by: LogLimiter.window)
        #expect(Self.admitted(&limiter, 100, at: later) { _ in Self.noise("a") } == 100)
        #expect(limiter.nextReport == nil)
    }
}
