import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Workers are exchanged under load, and nobody notices.
    @Suite struct Replacing {
        private static let settings = "timeouts: { term_grace: \"500ms\" }"

        /// A pool whose command is a program in the test's directory, which can be exchanged for another.
        private func serve(_ directory: TestDirectory) throws -> SupervisorProcess {
            try directory.write("#!/bin/sh\nexec \(try Self.fixture)\n", to: "tool", mode: 0o755)
            return try SupervisorProcess(
                workers: 4, worker: [directory.file("tool")], pool: "start_timeout: \"700ms\"",
                settings: Self.settings, in: directory)
        }

        private static var fixture: String {
            get throws {
                try Programs.fixtureWorker(["--concurrency", "4"], in: .swift).map { "'\($0)'" }
                    .joined(separator: " ")
            }
        }

        /// Calls of 5 ms on half of the slots while the body runs in the middle of them.
        private func load(
            _ supervisor: SupervisorProcess, for seconds: Double, _ body: () throws -> Void
        ) throws -> CallStorm.Account {
            var storm = try CallStorm(supervisor, connections: 8) { _ in
                .init(method: "sleep", params: ",\"ms\":5")
            }
            var isBegun = false
            try storm.run(for: seconds) { elapsed in
                guard !isBegun, elapsed > seconds / 10 else { return }
                isBegun = true
                try body()
            }
            return storm.account
        }

        private func expectNothingLost(_ account: CallStorm.Account) {
            #expect(account.unanswered == 0 && account.duplicates == 0 && account.foreign == 0)
            #expect(account.results == account.sent, "\(account.errors)")
        }

        @Test("P11: a rolling restart under load loses nothing, and is not felt")
        func rollingRestart() throws {
            let supervisor = try self.serve(try TestDirectory())
            let before = try supervisor.workerPIDs()
            let calm = try self.load(supervisor, for: Figures.scaled(1, long: 10)) {}
            let control = try supervisor.client()
            var rounds = 0
            var storm = try CallStorm(supervisor, connections: 8) { _ in
                .init(method: "sleep", params: ",\"ms\":5")
            }
            let seconds = Figures.scaled(2.0, long: 60)
            try storm.run(for: seconds) { elapsed in
                // The next begins when the one before is over.
                if rounds > 0 {
                    guard elapsed < seconds - 1, let answer = try control.takeJSON() else { return }
                    #expect(
                        answer[path: "result.workers"].arrayValue?.count == 4, Comment(rawValue: answer.text))
                }
                rounds += 1
                try control.start("supervisor.restart", #"{"rolling":true,"wait":true}"#)
            }
            let last = try control.receiveJSON(within: 20)
            #expect(last[path: "result.workers"].arrayValue?.count == 4)
            self.expectNothingLost(storm.account)
            #expect(Set(try supervisor.workerPIDs()).isDisjoint(with: before))
            let (quiet, rolling) = (calm.latencies.percentile(99), storm.account.latencies.percentile(99))
            #expect(rolling < max(0.05, quiet * 2) * Figures.margin)
            Figures.row(
                "P11",
                "\(rounds) rolling restarts of 4 workers under load, \(storm.account.sent) calls: failed",
                measured: "\(storm.account.sent - storm.account.results)", promised: "0")
            Figures.row(
                "P11",
                "p99 during a rolling restart (calls of 5 ms; without one: \(Figures.milliseconds(quiet)))",
                measured: Figures.milliseconds(rolling), promised: "–")
        }

        @Test(
            "P11: a reload to a program that fails aborts, and the old workers serve on",
            arguments: ["exit 3", "exec sleep 1000"])
        func reloadThatFails(program: String) throws {
            let directory = try TestDirectory()
            let supervisor = try self.serve(directory)
            let before = try supervisor.workerPIDs()
            var answer = JSONValue.null
            let account = try self.load(supervisor, for: Figures.scaled(1.5, long: 30)) {
                try directory.write("#!/bin/sh\n\(program)\n", to: "tool.new", mode: 0o755)
                rename(directory.file("tool.new"), directory.file("tool"))
                try supervisor.client().start("supervisor.reload", #"{"wait":true}"#)
            }
            answer = try supervisor.client().call("supervisor.reload", #"{"wait":true}"#, within: 20)
            #expect(
                answer.errorCode == 1001 && answer.errorReason == "replacement_failed",
                Comment(rawValue: answer.text))
            self.expectNothingLost(account)
            #expect(Set(try supervisor.workerPIDs()) == Set(before), "the old ones serve on")
            #expect(try supervisor.status()["status"] == "healthy")
            Figures.row(
                "P11", "reload to a program that does `\(program)`, \(account.sent) calls: failed",
                measured: "\(account.sent - account.results)", promised: "0, and it aborts")
        }
    }
}
