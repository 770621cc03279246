import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// A worker that dies takes only its own calls along; one that cannot start, none.
    @Suite struct Crashes {
        /// What one death was like, in seconds from the signal.
        private struct Death {
            var failures: [Double] = []
            var replaced = 0.0
            var boot = 0.0
        }

        @Test("P3: a crash is isolated and fast", arguments: FixtureLanguage.available)
        func isolatedAndFast(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 4, fixture: ["--concurrency", "8"], language: language,
                settings: "load_balancer: { strategy: \"least_load\" }")
            let client = try supervisor.client()
            var deaths: [Death] = []
            let watch = Stopwatch()
            while deaths.count < 3 || watch.seconds < Figures.scaled(0, long: 60) {
                deaths.append(try self.killOne(of: supervisor, slot: deaths.count % 4, client))
                // More than 20 deaths of one slot in a minute are not replaced that fast, on purpose.
                usleep(
                    UInt32(max(0, Figures.scaled(0, long: 0.85) * Double(deaths.count) - watch.seconds) * 1e6)
                )
            }
            let failures = deaths.flatMap(\.failures)
            let excess = deaths.map { $0.replaced - $0.boot }
            #expect(failures.percentile(99) < 0.05 * Figures.margin)
            #expect(excess.percentile(100) < 0.2 * Figures.margin)
            Figures.row(
                "P3",
                "time to detect a death, kill −9 to the last failed call, p99 of \(failures.count) "
                    + "(\(language.rawValue))",
                measured: Figures.milliseconds(failures.percentile(99)), promised: "50 ms")
            Figures.row(
                "P3",
                "time to replace, kill −9 to ready again, p99 of \(deaths.count) (\(language.rawValue), "
                    + "boots in \(Figures.milliseconds(deaths.map(\.boot).percentile(50))))",
                measured: Figures.milliseconds(deaths.map(\.replaced).percentile(99)),
                promised: "boot + 200 ms")
        }

        /// Eight calls in flight on each of four workers, of which one is killed.
        private func killOne(of supervisor: SupervisorProcess, slot: Int, _ client: Client) throws -> Death {
            let before = try supervisor.workerPIDs()
            for _ in 0..<32 { try client.start("sleep", #"{"ms":500}"#) }
            try eventually("eight are in flight on each") {
                (try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []).allSatisfy {
                    $0["in_flight"] == 8
                }
            }
            let watch = Stopwatch()
            kill(before[slot], SIGKILL)
            var death = Death()
            for _ in 0..<8 {
                let answer = try client.receiveJSON()
                death.failures.append(watch.seconds)
                #expect(answer.errorCode == 2001 && answer[path: "error.data.signal"] == "SIGKILL")
            }
            try supervisor.waitForWorker(inSlot: slot, "it is replaced") {
                $0["pid"] != .integer(before[slot]) && $0["state"] == "ready"
            }
            death.replaced = watch.seconds
            death.boot = self.bootSeconds(of: try supervisor.worker(slot), supervisor)
            for _ in 0..<24 {
                let answer = try client.receiveJSON()
                #expect(answer["result"] != nil, "no other call fails")
            }
            let after = try supervisor.workerPIDs()
            #expect(after.count == 4 && Set(after).intersection(before).count == 3)
            return death
        }

        /// From the start of a worker's process to its first answer, by the log's times.
        private func bootSeconds(of worker: JSONValue, _ supervisor: SupervisorProcess) -> Double {
            let times = ["worker.started", "worker.ready"].compactMap { event in
                supervisor.records(event).last { $0["worker_id"] == worker["worker_id"] }
            }
            return times.count == 2 ? self.secondsOfDay(times[1]) - self.secondsOfDay(times[0]) : .nan
        }

        @Test("P4: a worker that cannot start does not take the pool down")
        func crashLoop() throws {
            // Three seats; who finds none exits at once.
            let fixture = try Programs.fixtureWorker(in: .swift).map { "'\($0)'" }.joined(separator: " ")
            let supervisor = try SupervisorProcess(
                workers: 4,
                worker: [
                    "/bin/sh", "-c",
                    "for seat in 1 2 3; do mkdir DIR/$seat 2>/dev/null && exec \(fixture); done; "
                        + "echo no seat left >&2; exit 5",
                ], waits: false)
            try supervisor.waitUntilReady(3)
            let processorBefore = Processes.processorSeconds(of: supervisor.pid)
            var storm = try CallStorm(supervisor, connections: 2) { _ in .init(method: "echo") }
            let seconds = Figures.scaled(5.0, long: 60)
            try storm.run(for: seconds, rate: 20)
            let processor = (Processes.processorSeconds(of: supervisor.pid) - processorBefore) / seconds
            let status = try supervisor.status()
            let attempts = supervisor.records("worker.exited").count
            let waits = self.waits(supervisor)
            print(
                "P4: failed starts after \(waits.map(Figures.milliseconds)), then quarantined; \(storm.account.summary)"
            )
            #expect(storm.account.results == storm.account.sent, "the others serve")
            // 5 within about 2 s, then one a minute.
            #expect((5...Figures.scaled(5, long: 7)).contains(attempts))
            #expect(waits.count >= 4)
            for (index, wait) in waits.prefix(4).enumerated() {
                let backoff = 0.1 * Double(1 << index)
                #expect(wait > backoff / 2 - 0.01 && wait < backoff + 0.1 * Figures.margin)
            }
            #expect(status["status"] == "degraded")
            #expect(status["reasons"]?.text.contains("no seat left") == true)
            #expect(status["reasons"]?.text.contains("code 5") == true)
            #expect(processor < 0.05 * Figures.margin)
            #expect(try supervisor.command(["status"]).exitCode == 1)
            Figures.row(
                "P4",
                "a worker that always exits: starts tried, processor of the supervisor, calls of the others failed",
                measured: "\(attempts) in \(Int(seconds)) s, \(Figures.percent(processor)), "
                    + "\(storm.account.sent - storm.account.results)",
                promised: "5, then 1 a minute; 5 %; 0")
        }

        /// Seconds from each exit of a worker to the next start in its slot.
        private func waits(_ supervisor: SupervisorProcess) -> [Double] {
            let (exits, starts) = (supervisor.records("worker.exited"), supervisor.records("worker.started"))
            let slot = starts.first { $0["worker_id"] == exits.first?["worker_id"] }?["slot"]
            let times = starts.filter { $0["slot"] == slot }.map(self.secondsOfDay)
            return exits.map(self.secondsOfDay).compactMap { exit in
                times.first { $0 >= exit }.map { $0 - exit }
            }
        }

        /// Of a log record; a run over midnight would be measured wrong.
        private func secondsOfDay(_ record: JSONValue) -> Double {
            (record["time"]?.stringValue ?? "").dropFirst(11).prefix(12).split(separator: ":")
                .reduce(0.0) { $0 * 60 + (Double($1) ?? 0) }
        }
    }
}
