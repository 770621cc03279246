import Protocol
import Testing

@testable import Supervisor

@Suite struct BalancerTests {
    private static func candidate(
        _ slot: Int, inFlight: Int = 0, of maxConcurrency: Int = 4
    ) -> Balancer.Candidate {
        Balancer.Candidate(
            token: WorkerToken(index: UInt32(slot), generation: 1), slot: slot, inFlight: inFlight,
            maxConcurrency: maxConcurrency)
    }

    @Test func goesRoundInSlotOrderAlsoWhenOneLeaves() {
        var turn = 0
        let all = (0..<3).map { Self.candidate($0) }
        var order = (0..<4).compactMap { _ in Balancer.roundRobin(all, turn: &turn)?.slot }
        order += (0..<3).compactMap { _ in Balancer.roundRobin([all[0], all[2]], turn: &turn)?.slot }
        order += (0..<3).compactMap { _ in Balancer.roundRobin(all, turn: &turn)?.slot }
        #expect(order == [0, 1, 2, 0, 2, 0, 2, 0, 1, 2])
        #expect(Balancer.roundRobin([], turn: &turn) == nil)
    }

    @Test func takesTheLeastLoadedPerSlot() {
        var turn = 0
        let candidates = [
            Self.candidate(0, inFlight: 1, of: 2), Self.candidate(1, inFlight: 2, of: 8),
            Self.candidate(2, inFlight: 1, of: 3),
        ]
        #expect(Balancer.leastLoad(candidates, turn: &turn)?.slot == 1)
    }

    @Test func breaksTiesInTurn() {
        var turn = 0
        let candidates = (0..<3).map { Self.candidate($0) }
        let order = (0..<6).compactMap { _ in Balancer.leastLoad(candidates, turn: &turn)?.slot }
        #expect(order == [0, 1, 2, 0, 1, 2])
        #expect(Balancer.leastLoad([], turn: &turn) == nil)
    }

    @Test func drawsTwoDifferentWorkersAllEquallyOften() throws {
        var random = SeededGenerator(seed: 5)
        var counts = [0, 0, 0, 0]
        for _ in 0..<8000 {
            let pair = try #require(Balancer.pair(of: 4, random: &random))
            #expect(pair.left != pair.right)
            counts[pair.left] += 1
            counts[pair.right] += 1
        }
        for count in counts { #expect((3800...4200).contains(count), "\(counts)") }
        #expect(Balancer.pair(of: 1, random: &random) == nil)
    }

    @Test func findsTheMedianLikeSorting() {
        var random = SeededGenerator(seed: 6)
        for count in 1..<200 {
            var values = (0..<count).map { _ in Double(Int.random(in: 0..<count, using: &random)) }
            let sorted = values.sorted()
            #expect(Balancer.median(&values) == sorted[count / 2])
            #expect(values.sorted() == sorted)
        }
        var none: [Double] = []
        #expect(Balancer.median(&none) == nil)
    }
}

/// How calls are shared out among real candidates: what the three strategies do in a running core.
@Suite struct BalancingTests {
    /// Workers with room for eight calls each, by the strategy.
    private static func scenario(
        workers: Int, _ strategy: Configuration.Strategy, concurrency: JSONValue = 8
    ) -> Scenario {
        Scenario.ready(workers: workers, capabilities: ["max_concurrency": concurrency]) {
            $0.loadBalancer.strategy = strategy
        }
    }

    /// Makes a call and says which worker has it.
    private static func place(_ scenario: Scenario, _ client: ConnectionToken) throws -> (Int, Int64) {
        let before = scenario.workers.map { scenario.calls(on: $0).count }
        scenario.call(client, 1)
        let index = try #require(
            scenario.workers.indices.first { scenario.calls(on: scenario.workers[$0]).count > before[$0] })
        return (index, try #require(scenario.calls(on: scenario.workers[index]).last))
    }

    /// Which worker the next call would go to.
    private static func choice(_ scenario: Scenario) -> WorkerToken? {
        scenario.core.chooseWorker(
            in: 0, avoiding: nil, isNotification: false, &scenario.effects)
    }

    /// Makes calls one after another, answered after so many milliseconds by worker, and counts who got them.
    private static func share(
        of calls: Int, _ scenario: Scenario, milliseconds: [Int64]
    ) throws -> [Int] {
        let client = try scenario.connect()
        var counts = scenario.workers.map { _ in 0 }
        for _ in 0..<calls {
            let (index, call) = try self.place(scenario, client)
            counts[index] += 1
            scenario.pass(.milliseconds(milliseconds[index]))
            scenario.reply(scenario.workers[index], call)
        }
        return counts
    }

    @Test func prefersTheFasterOfTwo() throws {
        let scenario = Self.scenario(workers: 3, .performanceBased)
        let counts = try Self.share(of: 300, scenario, milliseconds: [5, 5, 100])
        #expect(counts[2] <= 3, "\(counts)")
        #expect(counts[0] > 100 && counts[1] > 100, "\(counts)")
    }

    @Test func countsAWorkerWithoutAMeasurementAsTheMedianOfItsPool() throws {
        let scenario = Self.scenario(workers: 4, .performanceBased)
        let now = scenario.core.now
        for (index, latency) in [(0, Int64(10)), (1, 20), (2, 400)] {
            scenario.core.workers[scenario.workers[index]].latency.record(.milliseconds(latency), at: now)
        }
        // Nobody answers, so that the measurements stay: only the slowest is not preferred to the unmeasured one.
        var counts = [0, 0, 0, 0]
        for seed in UInt64(0)..<400 {
            scenario.core.random = SeededGenerator(seed: seed)
            let chosen = Self.choice(scenario)
            counts[scenario.workers.firstIndex { $0 == chosen } ?? 0] += 1
        }
        // Of the six pairs the fastest wins its three, the median and the unmeasured share the other's.
        #expect((160...240).contains(counts[0]), "\(counts)")
        #expect((60...200).contains(counts[1]) && (60...200).contains(counts[3]), "\(counts)")
        #expect(counts[2] == 0, "\(counts)")
    }

    @Test func countsTheAgeOfAnOpenCallAsLatency() throws {
        let scenario = Self.scenario(workers: 2, .performanceBased)
        let client = try scenario.connect()
        for worker in scenario.workers {
            scenario.core.workers[worker].latency.record(.milliseconds(10), at: scenario.core.now)
        }
        let (hung, _) = try Self.place(scenario, client)
        scenario.pass(.milliseconds(100))
        for _ in 0..<7 { #expect(try Self.place(scenario, client).0 == 1 - hung) }
    }

    @Test(arguments: [
        #""error":{"code":-32603,"message":"x"}"#, #""error":{"code":5001,"message":"x"}"#,
        #""error":{"code":5002,"message":"x"}"#, #""result":"#,
    ]) func countsAFaultAsFiveSecondsHoweverFast(answer: String) throws {
        let scenario = Self.scenario(workers: 2, .performanceBased)
        let client = try scenario.connect()
        let (index, call) = try Self.place(scenario, client)
        let worker = scenario.workers[index]
        scenario.write(worker, #"{"jsonrpc":"2.0","id":\#(call),\#(answer)}"#)
        #expect(scenario.core.workers[worker].latency.expected(at: scenario.core.now) == 5e9)
    }

    @Test func countsAFaultAsWhatItTookOnlyWithoutItsGuard() throws {
        let scenario = Self.scenario(workers: 1, .performanceBased)
        scenario.core.removedGuard = .slowFaults
        let client = try scenario.connect()
        let (_, call) = try Self.place(scenario, client)
        scenario.pass(.milliseconds(1))
        scenario.write(
            scenario.workers[0], #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":-32603,"message":"x"}}"#)
        #expect(scenario.core.workers[scenario.workers[0]].latency.expected(at: scenario.core.now) == 1e6)
    }

    @Test func learnsNoSpeedFromOtherErrorsTimeoutsAndCancels() throws {
        let scenario = Self.scenario(workers: 1, .performanceBased)
        let client = try scenario.connect()
        let worker = scenario.workers[0]
        func expected() -> Double? { scenario.core.workers[worker].latency.expected(at: scenario.core.now) }
        func refuse(after: Nanoseconds) throws {
            scenario.call(client, 1)
            scenario.pass(after)
            let call = try #require(scenario.calls(on: worker).last)
            scenario.write(
                worker, #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":-32602,"message":"x"}}"#)
        }
        try refuse(after: .milliseconds(1))
        #expect(expected() == nil, "nothing to compare with")
        scenario.core.workers[worker].latency.record(.milliseconds(20), at: scenario.core.now)
        try refuse(after: 0)
        #expect(expected() == 20e6, "an error at once does not make it fast")
        scenario.call(client, 2)
        scenario.send(client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":2}}"#)
        #expect(expected() == 20e6, "nor does a cancelled call")
        scenario.reply(worker, scenario.calls(on: worker).last)
        #expect(expected() == 20e6, "nor its late answer")
        scenario.call(client, 3, metadata: ["timeout_ms": 300])
        scenario.pass(.milliseconds(300))
        #expect(expected() == 300e6, "what a call took until its timeout is a lower bound")
        scenario.pass(.milliseconds(100))
        scenario.reply(worker, scenario.calls(on: worker).last)
        #expect(expected() == 400e6, "and so is what it took until its late answer")
        try refuse(after: .milliseconds(500))
        #expect(expected() == 500e6, "a slow error is slow")
    }

    @Test func givesANewcomerLittleAtFirstThenItsShare() throws {
        let scenario = Self.scenario(workers: 2, .performanceBased)
        scenario.pass(.seconds(9))
        #expect(
            scenario.workers.allSatisfy { scenario.core.workers[$0].joinedAt == nil }, "they came together")
        for worker in scenario.workers { scenario.answerHealth(worker, ["status": "healthy"]) }
        scenario.pass(.seconds(5))
        scenario.exit(scenario.workers[1])
        scenario.pass(.seconds(1))
        scenario.makeReady(["max_concurrency": 8])
        func newcomersShare() -> Int {
            (UInt64(0)..<1000).count { seed in
                scenario.core.random = SeededGenerator(seed: seed)
                return Self.choice(scenario) == scenario.workers[2]
            }
        }
        // Equal as they are otherwise, a half would be its share.
        var shares = [newcomersShare()]
        for _ in 0..<2 {
            scenario.pass(.seconds(5))
            shares.append(newcomersShare())
        }
        #expect(shares[0] == 0, "\(shares)")
        #expect((200...300).contains(shares[1]), "\(shares)")
        #expect((450...550).contains(shares[2]), "\(shares)")
    }

    @Test func givesTheFirstWorkerOfAPoolItsShareAtOnce() throws {
        let scenario = Self.scenario(workers: 1, .performanceBased)
        scenario.pass(.seconds(1))
        scenario.exit(scenario.workers[0])
        scenario.pass(.seconds(1))
        scenario.makeReady()
        #expect(scenario.core.workers[scenario.workers[1]].joinedAt == nil)
    }

    @Test(arguments: [Configuration.Strategy.roundRobin, .leastLoad]) func checksDoNotMoveTheTurn(
        strategy: Configuration.Strategy
    ) throws {
        let scenario = Self.scenario(workers: 3, strategy)
        let client = try scenario.connect()
        var order: [Int] = []
        for _ in 0..<6 {
            let (index, call) = try Self.place(scenario, client)
            order.append(index)
            scenario.reply(scenario.workers[index], call)
            scenario.pass(.seconds(10))
            for worker in scenario.workers where scenario.core.workers[worker].healthCheck != nil {
                scenario.answerHealth(worker, ["status": "healthy"])
            }
        }
        #expect(order == [0, 1, 2, 0, 1, 2])
    }

    @Test func givesLeastLoadToTheOneWithMostRoomPerSlot() throws {
        let scenario = Self.scenario(workers: 2, .leastLoad)
        let client = try scenario.connect()
        scenario.write(
            scenario.workers[0],
            ["jsonrpc": "2.0", "method": "worker.capabilities", "params": ["max_concurrency": 2]])
        var order: [Int] = []
        for _ in 0..<5 { order.append(try Self.place(scenario, client).0) }
        #expect(order == [0, 1, 1, 1, 1], "1 of 2 is as much as 4 of 8")
    }
}

@Suite struct PeakLatencyTests {
    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: .seconds(seconds)) }

    @Test func risesAtOnceAndFallsSlowly() throws {
        var latency = PeakLatency()
        #expect(latency.expected(at: Self.at(0)) == nil)
        latency.record(.milliseconds(10), at: Self.at(0))
        latency.record(.milliseconds(500), at: Self.at(1))
        #expect(latency.expected(at: Self.at(1)) == 500e6)
        latency.record(.milliseconds(10), at: Self.at(2))
        let expected = try #require(latency.expected(at: Self.at(2)))
        #expect((400e6..<500e6).contains(expected))
    }

    @Test func forgetsAPeakAlsoWhileNothingIsMeasured() throws {
        var latency = PeakLatency()
        latency.record(PeakLatency.fault, at: Self.at(0))
        let soon = try #require(latency.expected(at: Self.at(10)))
        let late = try #require(latency.expected(at: Self.at(100)))
        #expect(abs(soon / 5e9 - 0.39) < 0.03)
        #expect(late < 0.01 * 5e9)
    }
}
