import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// A worker that is slow, or that fails fast, loses its traffic.
    @Suite struct SlowAndFailing {
        /// A share of calls by their results within their deadline of a second.
        private struct Run {
            var share: Double
            var account: CallStorm.Account
        }

        /// Four workers; a file tells one of them to take 1.2 s for what takes the others 60 ms, for the first half.
        private func run(_ strategy: String) throws -> Run {
            let supervisor = try SupervisorProcess(
                workers: 4, fixture: ["--concurrency", "4", "--orders", "DIR/orders-{worker_id}"],
                language: .swift, settings: "load_balancer: { strategy: \"\(strategy)\" }")
            let orders = supervisor.directory
            let workers = try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []
            let slow = "orders-\(workers[0]["worker_id"]?.stringValue ?? "")"
            for worker in workers.dropFirst() {
                try orders.write("delay 60", to: "orders-\(worker["worker_id"]?.stringValue ?? "")")
            }
            try orders.write("delay 1200", to: slow)
            let seconds = Figures.scaled(5.0, long: 60)
            var storm = try CallStorm(supervisor, connections: 16, depth: 16) { _ in
                .init(method: "echo", timeoutMilliseconds: 1000)
            }
            // Half of what the three quick ones can do.
            try storm.send(for: seconds / 2, rate: 100)
            try orders.write("delay 60", to: slow)
            try storm.run(for: seconds / 2, rate: 100)
            let account = storm.account
            print(
                "P15, \(strategy): \(account.summary); results by worker \(account.resultsByWorker.values.sorted())"
            )
            #expect(account.unanswered == 0 && account.duplicates == 0 && account.foreign == 0)
            return Run(share: Double(account.results) / Double(account.sent), account: account)
        }

        @Test("P15: one worker 20 times slower loses its traffic") func slowWorker() throws {
            let (performance, roundRobin) = (try self.run("performance_based"), try self.run("round_robin"))
            #expect(performance.share >= Figures.scaled(0.97, long: 0.999))
            #expect(performance.share > roundRobin.share)
            Figures.row(
                "P15",
                "one of four workers 20× slower for half the run: answered within 1 s, performance_based",
                measured: Figures.percent(performance.share), promised: "99.9 %")
            Figures.row(
                "P15", "the same with round_robin, for comparison",
                measured: Figures.percent(roundRobin.share), promised: "–")
        }
    }
}
