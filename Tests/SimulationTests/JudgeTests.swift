import Protocol
import Testing

@testable import Supervisor

/// What no missing guard leads to, the judges see as well.
@Suite struct JudgeTests {
    private static let worker = WorkerToken(index: 0, generation: 1)
    private static let other = WorkerToken(index: 1, generation: 1)

    /// A world in which one call of one second is open at a worker that is ready, half a second after it was made.
    private static func ledger(method: String = "job.run") -> Ledger {
        var random = SeededGenerator(seed: 1)
        var weather = Weather(profile: .calm)
        weather.lag = 0
        let configuration = Configuration.virtual(for: weather, &random)
        var ledger = Ledger(configuration, weather, now: Instant(nanoseconds: .seconds(1)))
        let due = Instant(nanoseconds: .seconds(2))
        ledger.calls[7] = Ledger.Call(
            nonce: 7, client: 0, method: method, params: ["nonce": 7], sentAt: ledger.now, deadline: due,
            due: due,
            expectation: .worker(pool: 0), queuedAt: ledger.now)
        for token in [Self.worker, Self.other] {
            ledger.processes[token] = Ledger.Process(
                pool: 0, slot: Int(token.index), role: .serving, startedAt: ledger.now, readyAt: ledger.now)
        }
        ledger.sent(1, 7, to: Self.worker)
        ledger.now = Instant(nanoseconds: .milliseconds(1500))
        return ledger
    }

    private static func answer(_ text: String) throws -> Answer {
        Answer(try JSONValue(parsing: text), client: 0)
    }

    @Test func aSecondAnswer() throws {
        var judge = AnswerJudge()
        let answer = try Self.answer(#"{"jsonrpc":"2.0","id":1,"result":null}"#)
        #expect(judge.observe(.answered(answer, 7), Self.ledger()) == nil)
        #expect(judge.observe(.answered(answer, nil), Self.ledger()) != nil)
    }

    @Test func aTimeoutBeforeItsTime() throws {
        var judge = AnswerJudge()
        let answer = try Self.answer(
            #"{"id":1,"error":{"code":1002,"data":{"reason":"deadline_exceeded"}}}"#)
        #expect(judge.observe(.answered(answer, 7), Self.ledger()) != nil)
    }

    @Test(arguments: [(500, true), (501, false), (499, false)])
    func aWorkerThatIsToldAnotherTime(milliseconds: Int64, isTrue: Bool) {
        var judge = AnswerJudge()
        let sent = Observation.sent(
            7, to: Self.other, deadlineMilliseconds: milliseconds, backlog: 0)
        #expect((judge.observe(sent, Self.ledger()) == nil) == isTrue)
    }

    @Test func aCallThatTwoWorkersHave() {
        var judge = CrashJudge()
        let sent = Observation.sent(7, to: Self.other, deadlineMilliseconds: 500, backlog: 0)
        #expect(judge.observe(sent, Self.ledger(method: "rag.execute")) != nil)
    }

    @Test func aFailureOfACallWhoseWorkerLives() throws {
        var judge = CrashJudge()
        var ledger = Self.ledger()
        let answer = try Self.answer(#"{"id":1,"error":{"code":2001,"data":{"reason":"worker_crashed"}}}"#)
        #expect(judge.observe(.answered(answer, 7), ledger) != nil)
        _ = ledger.lost(Self.worker, isDeath: true)
        #expect(judge.observe(.answered(answer, 7), ledger) == nil)
    }

    @Test func aResultThatNoWorkerGave() throws {
        var judge = CrossTalkJudge()
        var ledger = Self.ledger()
        let answer = try Self.answer(#"{"id":1,"result":{"nonce":7}}"#)
        #expect(judge.observe(.answered(answer, 7), ledger) != nil)
        ledger.replied(1, .result, by: Self.worker)
        #expect(judge.observe(.answered(answer, 7), ledger) == nil)
    }

    private static func chunk(_ sequence: Int, nonce: Int = 7, _ end: String = "false") throws
        -> ReceivedChunk
    {
        let data = end == "reason" ? #"{"reason":"done"}"# : #"{"nonce":\#(nonce),"kind":"metadata"}"#
        let params =
            #"{"request_id":"1","sequence":\#(sequence),"chunk_type":"metadata","data":\#(data),"#
            + #""is_final":\#(end != "false")}"#
        return ReceivedChunk(try JSONValue(parsing: params), client: 0)
    }

    /// What the judge says of chunks, and of the result behind them.
    private static func verdict(_ chunks: [ReceivedChunk], written: Int) throws -> String? {
        var judge = StreamJudge()
        var ledger = Self.ledger(method: "rag.stream")
        ledger.calls[7]?.stream.chunks = written
        for chunk in chunks {
            if let wrong = judge.observe(.gotChunk(chunk, 7), ledger) { return wrong }
        }
        let answer = try Self.answer(#"{"jsonrpc":"2.0","id":1,"result":null}"#)
        return judge.observe(.answered(answer, 7), ledger)
    }

    @Test func streamsThatAreNotWhole() throws {
        #expect(try Self.verdict([Self.chunk(0), Self.chunk(1, "reason")], written: 1) == nil)
        #expect(try Self.verdict([Self.chunk(0, "true")], written: 1) == nil)
        #expect(try Self.verdict([Self.chunk(0)], written: 1) != nil, "no final chunk")
        #expect(try Self.verdict([], written: 0) != nil, "no chunk at all")
        #expect(try Self.verdict([Self.chunk(1, "reason")], written: 0) != nil, "a gap")
        #expect(try Self.verdict([Self.chunk(0, nonce: 8), Self.chunk(1, "reason")], written: 1) != nil)
        #expect(
            try Self.verdict([Self.chunk(0, "reason"), Self.chunk(1)], written: 1) != nil,
            "behind the final one")
        #expect(try Self.verdict([Self.chunk(0), Self.chunk(1, "reason")], written: 2) != nil, "one is lost")
    }

    @Test func aStreamThatStandsStill() {
        var judge = StreamJudge()
        var ledger = Self.ledger(method: "rag.stream")
        let core = Self.core(ledger)
        #expect(judge.judgeStep(ledger, core, SimulatedEffects()) == nil)
        ledger.now = ledger.now.advanced(by: ledger.configuration.timeouts.streamIdle)
        #expect(judge.judgeStep(ledger, core, SimulatedEffects()) != nil)
    }

    private static func core(_ ledger: Ledger) -> SupervisorCore {
        SupervisorCore(
            ledger.configuration, identity: .init(pid: 1, uid: 1000, socketPath: "/virtual"), now: ledger.now,
            wallClock: 0, seed: 1)
    }

    @Test func aCancelOfACallWhoseCallerWaits() {
        var judge = CancelJudge()
        var ledger = Self.ledger()
        let open = ledger.processes[Self.worker]?.open[1]
        #expect(judge.observe(.cancelSent(open, to: Self.worker), ledger) != nil)
        ledger.calls[7]?.isAnswered = true
        #expect(judge.observe(.cancelSent(open, to: Self.worker), ledger) == nil)
        #expect(judge.observe(.cancelSent(nil, to: Self.worker), ledger) != nil)
    }

    @Test func aSignalBeforeItsTime() {
        var judge = ProcessJudge()
        var ledger = Self.ledger()
        #expect(judge.observe(.signaled(Self.worker, .kill), ledger) != nil)
        ledger.processes[Self.worker]?.terminatedAt = ledger.now
        #expect(judge.observe(.signaled(Self.worker, .kill), ledger) != nil)
        ledger.now = ledger.now.advanced(by: ledger.configuration.timeouts.termGrace)
        #expect(judge.observe(.signaled(Self.worker, .kill), ledger) == nil)
    }

    @Test func aProcessThatIsStartedAfterTheStop() {
        var judge = StopJudge()
        var ledger = Self.ledger()
        #expect(judge.observe(.spawned(Self.other), ledger) == nil)
        ledger.stoppedAt = ledger.now
        #expect(judge.observe(.spawned(Self.other), ledger) != nil)
    }

    @Test func aCallThatWasChangedOnItsWay() throws {
        let judge = GarbageJudge()
        let head = #"{"jsonrpc":"2.0","id":1,"method":"job.run","params":"#
        let tail = #","metadata":{"request_id":"x","deadline_ms":1}}"#
        func verdict(_ params: String, _ tail: String) throws -> String? {
            judge.judge(try JSONValue(parsing: head + params + tail), Self.ledger())
        }
        #expect(try verdict(#"{"nonce":7}"#, tail) == nil)
        #expect(try verdict(#"{"nonce":7,"more":1}"#, tail) != nil)
        #expect(try verdict(#"{"nonce":8}"#, tail) != nil)
        #expect(try verdict(#"{"nonce":7}"#, #","extra":1"# + tail) != nil)
    }
}
