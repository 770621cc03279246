import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// A worker that hangs holds nobody up for long, and its slot comes back once.
    @Suite struct Hangs {
        private struct Round {
            /// Seconds that the caller was answered after its timeout.
            var lateness: Double
            /// Seconds from the cancel to the end of the process.
            var gone: Double
        }

        @Test("P5: a hung worker is bounded", arguments: FixtureLanguage.available)
        func bounded(language: FixtureLanguage) throws {
            // The long form has the graces as they are by default.
            let (cancelGrace, termGrace) = (Figures.scaled(0.1, long: 2), Figures.scaled(0.2, long: 5))
            let supervisor = try SupervisorProcess(
                fixture: [
                    "--concurrency", "2", "--cancel", "declare", "--ignore-terminate", "--ignore-end",
                ], language: language,
                settings:
                    "timeouts: { cancel_grace: \"\(Int(cancelGrace * 1000))ms\", term_grace: \"\(Int(termGrace * 1000))ms\" }"
            )
            let client = try supervisor.client()
            let rounds = try (0..<5).map { _ in try self.hang(supervisor, client) }
            let limit = cancelGrace + termGrace
            for round in rounds {
                #expect(round.lateness > -0.005 && round.lateness < 0.05 * Figures.margin)
                #expect(round.gone > limit - 0.1 && round.gone < limit + 1 * max(1, Figures.margin / 3))
            }
            Figures.row(
                "P5",
                "a worker that ignores cancel and SIGTERM (\(language.rawValue)): its caller answered after the "
                    + "timeout, the process gone after the cancel",
                measured: Figures.milliseconds(rounds.map(\.lateness).percentile(100)) + ", "
                    + Figures.milliseconds(rounds.map(\.gone).percentile(100)),
                promised: "50 ms, \(Figures.milliseconds(limit + 1))")
        }

        private func hang(_ supervisor: SupervisorProcess, _ client: Client) throws -> Round {
            let before = try #require(try supervisor.workerPIDs().first)
            let watch = Stopwatch()
            let answer = try client.call("hang", metadata: #"{"timeout_ms":200}"#)
            let lateness = watch.seconds - 0.2
            #expect(answer.errorCode == 1002)
            try eventually(within: 30, "the process is gone") { !Processes.isAlive(before) }
            let gone = watch.seconds - 0.2
            let worker = try supervisor.waitForWorker("another is there, and both of its slots are free") {
                $0["state"] == "ready" && $0["in_flight"] == 0 && $0["pid"] != .integer(before)
                    && $0["last_exit"] != .null
            }
            #expect(worker[path: "last_exit.reason"] == "overrun")
            #expect(worker[path: "last_exit.signal"] == "SIGKILL")
            // Two calls of 100 ms at once, then two more: no slot was lost, none came back twice.
            let capacity = Stopwatch()
            for _ in 0..<4 { try client.start("sleep", #"{"ms":100}"#) }
            try supervisor.waitForWorker("two are in flight") { $0["in_flight"] == 2 }
            _ = try client.receiveAll(4)
            #expect(capacity.seconds > 0.199)
            return Round(lateness: lateness, gone: gone)
        }
    }
}
