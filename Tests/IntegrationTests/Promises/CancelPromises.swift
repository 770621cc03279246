import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Who gives up a call gives its slot back, and bothers nobody else.
    @Suite struct Cancelling {
        @Test("P13: cancels and disconnects at any moment are real", arguments: FixtureLanguage.available)
        func cancelsAreReal(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "8", "--cancel", "honour", "--log", "DIR/received"],
                language: language)
            let others = Prober(supervisor, [("echo", "[1]", nil), ("sleep", #"{"ms":1}"#, nil)])
            var storm = try CallStorm(supervisor, connections: 16, depth: 2) { random in
                let moment = Double.random(in: 0...0.02, using: &random)
                let isCancel = Int.random(in: 0..<10, using: &random) > 0
                return .init(
                    method: "sleep", params: ",\"ms\":10000", cancelledAfter: isCancel ? moment : nil,
                    hangsUpAfter: isCancel ? nil : moment)
            }
            try storm.run(for: Figures.scaled(1.5, long: 20))
            let samples = try others.stop()
            let account = storm.account
            print("P13, \(language.rawValue): \(account.summary)")
            #expect(account.unanswered == 0 && account.duplicates == 0 && account.foreign == 0)
            #expect(account.errors["cancelled"] == account.answered)
            #expect(samples.count > 20 && samples.allSatisfy { $0.code == nil }, "nobody else is affected")
            #expect(!Figures.isLong || account.sent >= 5000)
            let watch = Stopwatch()
            for slot in 0..<2 {
                try supervisor.waitForWorker(inSlot: slot, "nothing is in flight") { $0["in_flight"] == 0 }
            }
            let settled = watch.seconds
            try self.expectCancelsAtTheWorkers(supervisor)
            try self.expectFullCapacity(supervisor)
            #expect(try supervisor.worker()["restarts"] == 0)
            Figures.row(
                "P13",
                "\(account.sent) calls cancelled or left (\(language.rawValue)): calls of others failed, "
                    + "nothing in flight after",
                measured: "\(samples.count { $0.code != nil }) of \(samples.count), "
                    + Figures.milliseconds(settled),
                promised: "0, soon")
        }

        /// Every call of the storm that reached a worker was cancelled there; both workers write to one file.
        private func expectCancelsAtTheWorkers(_ supervisor: SupervisorProcess) throws {
            var (calls, cancels) = (Set<String>(), Set<String>())
            for line in Files.lines(supervisor.directory.file("received")) {
                let message = try JSONValue(parsing: line)
                if message["method"] == "sleep", message[path: "params.ms"] == 10_000 {
                    calls.insert(message["id"]?.text ?? "")
                } else if message["method"] == "$/cancelRequest" {
                    cancels.insert(message[path: "params.id"].text)
                }
            }
            #expect(calls.count > 100)
            #expect(calls == cancels)
        }

        /// Sixteen calls of 200 ms at once, on sixteen slots.
        private func expectFullCapacity(_ supervisor: SupervisorProcess) throws {
            let client = try supervisor.client()
            let watch = Stopwatch()
            for _ in 0..<16 { try client.start("sleep", #"{"ms":200}"#) }
            let answers = try client.receiveAll(16)
            #expect(answers.values.allSatisfy { $0["result"] != nil })
            #expect(watch.seconds < 0.39)
        }
    }
}
