import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Who is answered in chunks gets one that is the last, then one response, and nothing more.
    @Suite struct Streams {
        @Test(
            "P12: every stream has one final chunk and one response, whatever ends it",
            arguments: FixtureLanguage.available)
        func everyStreamEnds(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 4, fixture: ["--concurrency", "16", "--cancel", "honour"], language: language,
                settings: "restart: { max_deaths: 1000000, backoff_max: \"200ms\" }")
            var storm = try CallStorm(supervisor, connections: 16, depth: 3, plan: Self.someStream)
            var (kills, nextKill) = (0, 0.1)
            let count = Figures.scaled(1000, long: 10_000) / FixtureLanguage.available.count
            try storm.run(calls: count) { elapsed in
                guard elapsed >= nextKill else { return }
                nextKill += 0.2
                if let victim = try supervisor.workerPIDs().randomElement(), kill(victim, SIGKILL) == 0 {
                    kills += 1
                }
            }
            let account = storm.account
            print(
                "Streams, \(language.rawValue): \(kills) kills, \(account.chunks) chunks, "
                    + "\(account.misplacedChunks) misplaced, \(account.unfinishedStreams) without a final one, "
                    + account.summary)
            #expect(account.sent == count && account.unanswered == 0)
            #expect(account.duplicates == 0 && account.foreign == 0)
            #expect(account.misplacedChunks == 0 && account.unfinishedStreams == 0)
            #expect((1...count).contains(account.finalChunks))
            #expect(
                account.results > 0 && account.errors["cancelled", default: 0] > 0 && account.abandoned > 0)
            #expect(kills > 0 && account.errors["worker_crashed", default: 0] > 0)
            Figures.row(
                "P12",
                "\(account.sent) streams, \(kills) workers killed, \(account.abandoned) left "
                    + "(\(language.rawValue)): chunks misplaced, without a final chunk, unanswered",
                measured: "\(account.misplacedChunks), \(account.unfinishedStreams), \(account.unanswered)",
                promised: "0, 0, 0")
        }

        /// Streams that end by themselves, with a final chunk of the worker's or of the supervisor's, late, by a cancel,
        /// by their deadline, or by their caller.
        private static func someStream(_ random: inout SeededGenerator) -> CallStorm.Plan {
            let chunks = Int.random(in: 0...20, using: &random)
            let pause = Int.random(in: 0...4, using: &random)
            let isFinal = Bool.random(using: &random)
            let late = Int.random(in: 0...2, using: &random)
            var plan = CallStorm.Plan(
                method: Bool.random(using: &random) ? "rag.stream" : "other.stream",
                params:
                    #","action":"stream","chunks":\#(chunks),"ms":\#(pause),"final":\#(isFinal),"late":\#(late)"#
            )
            plan.isStream = plan.method == "rag.stream"
            let moment = Double.random(in: 0...0.05, using: &random)
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<3: plan.cancelledAfter = moment
            case 3: plan.hangsUpAfter = moment
            case 4: plan.timeoutMilliseconds = Int.random(in: 1...40, using: &random)
            default: break
            }
            return plan
        }

        @Test("P7: a client that does not read its stream slows nobody", arguments: FixtureLanguage.available)
        func slowConsumersSlowNobody(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "16", "--cancel", "honour"], language: language)
            let slow = try supervisor.client()
            for _ in 0..<8 {
                try slow.start("rag.stream", #"{"action":"stream","chunks":100000,"bytes":4000}"#)
            }
            let others = try supervisor.client()
            for _ in 0..<50 { #expect(try others.call("echo", "[1]")["result"] == [1]) }
            for slot in 0..<2 {
                try supervisor.waitForWorker(inSlot: slot, "the workers were told to stop") {
                    $0["in_flight"] == 0
                }
            }
            #expect(try slow.start("echo", "[2]") == 9)
            var (answers, chunks, finals) = (0, 0, 0)
            while answers < 9 {
                let message = try slow.receiveJSON()
                if let chunk = message["params"] {
                    chunks += 1
                    if chunk["is_final"] == true {
                        finals += 1
                        #expect(chunk["data"]?["reason"] == "slow_consumer")
                    }
                } else {
                    answers += 1
                    #expect(message["id"] == 9 || message.errorReason == "slow_consumer")
                }
            }
            print("A slow consumer of 8 streams (\(language.rawValue)) was sent \(chunks) chunks")
            #expect(finals == 8)
            // What the kernel's buffer takes, and what may wait of each stream.
            #expect(chunks < 8 * 258 + 500)
        }
    }
}
