import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Who calls is answered: once, in time, and with the answer to that call.
    @Suite struct Answers {
        @Test(
            "P1: every call gets one answer, in time, while workers are killed",
            arguments: FixtureLanguage.available)
        func oneAnswerInTime(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 4, fixture: ["--concurrency", "8", "--cancel", "honour"], language: language,
                settings: "restart: { max_deaths: 1000000, backoff_max: \"200ms\" }")
            var storm = try CallStorm(supervisor, connections: 32, plan: Self.mixedCall)
            var (kills, nextKill) = (0, 0.2)
            try storm.run(for: Figures.scaled(2, long: 60)) { elapsed in
                guard elapsed >= nextKill else { return }
                nextKill += 0.2
                if let victim = try supervisor.workerPIDs().randomElement(), kill(victim, SIGKILL) == 0 {
                    kills += 1
                }
            }
            let account = storm.account
            print("P1, \(language.rawValue): \(kills) kills, \(account.summary)")
            #expect(account.unanswered == 0 && account.duplicates == 0 && account.foreign == 0)
            // What the storm itself was late, when others have the processor, is not the supervisor's.
            #expect(account.latest - account.longestPause < 0.05 * Figures.margin)
            #expect(account.results > account.sent / 2)
            #expect(Double(kills) >= Figures.scaled(4, long: 200))
            #expect(!Figures.isLong || account.sent >= 20_000)
            Figures.row(
                "P1",
                "\(account.sent) calls, \(kills) workers killed (\(language.rawValue)): unanswered, "
                    + "answered twice, latest answer after its deadline",
                measured: "\(account.unanswered), \(account.duplicates), "
                    + Figures.milliseconds(max(0, account.latest)), promised: "0, 0, 50 ms")
        }

        /// Calls that are tried again and that are not, that end by their deadline, by a cancel, and by their caller.
        private static func mixedCall(_ random: inout SeededGenerator) -> CallStorm.Plan {
            let milliseconds = Int.random(in: 1...30, using: &random)
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<50: return .init(method: "rag.execute")
            case 50..<70: return .init(method: "echo")
            case 70..<85: return .init(method: "sleep", params: ",\"ms\":\(milliseconds)")
            case 85..<92:
                return .init(method: "sleep", params: ",\"ms\":200", timeoutMilliseconds: milliseconds)
            case 92..<99:
                return .init(
                    method: "sleep", params: ",\"ms\":1000", cancelledAfter: Double(milliseconds) / 1000)
            default: return .init(method: "sleep", params: ",\"ms\":1000", hangsUpAfter: 0.01)
            }
        }

        @Test("P2: an answer goes to the call it belongs to", arguments: FixtureLanguage.available)
        func noCrossTalk(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "32"], language: language)
            let rounds = Figures.scaled(20, long: 400)
            let clients = try (0..<4).map { _ in try supervisor.client() }
            var (calls, wrong, timeouts) = (0, 0, 0)
            for _ in 0..<rounds {
                for client in clients {
                    var nonces: [Int: Int] = [:]
                    func start(_ method: String, _ params: String = "", metadata: String? = nil) throws {
                        calls += 1
                        let id = try client.start(
                            method, #"{"nonce":\#(calls)\#(params)}"#, metadata: metadata)
                        nonces[id] = calls
                    }
                    // Twice: one late reply. Foreign: two. After its deadline: one. Held: in reverse order.
                    try start("twice")
                    try start("foreign")
                    try start("sleep", #","ms":60"#, metadata: #"{"timeout_ms":20}"#)
                    for _ in 0..<4 { try start("hold", #","count":4"#) }
                    for (id, answer) in try client.receiveAll(nonces.count) {
                        if answer.errorCode == 1002 {
                            timeouts += 1
                        } else if answer[path: "result.nonce"] != nonces[id].map({ .integer($0) }) {
                            wrong += 1
                        }
                    }
                }
            }
            let injected = rounds * clients.count * 4
            try supervisor.waitForWorker("the late replies are counted") { $0["in_flight"] == 0 }
            let late = try supervisor.worker()["late_replies"]?.integerValue ?? -1
            #expect(wrong == 0 && timeouts == rounds * clients.count && late == Int64(injected))
            for client in clients { try client.expectNothing(for: 0.01) }
            Figures.row(
                "P2",
                "\(calls) calls, \(injected) replies to nobody (\(language.rawValue)): misdelivered, counted",
                measured: "\(wrong), \(late)", promised: "0, \(injected)")
        }
    }
}
