import Protocol
import Testing

@testable import Supervisor

@Suite struct StatusTests {
    @Test func hasEveryMemberOfTheContract() throws {
        let status = Scenario().status()
        #expect(
            status.objectValue?.map(\.name) == [
                "status", "reasons", "version", "pid", "uptime_seconds", "socket", "connections", "pools",
                "cache",
            ])
        let pool = try #require(status["pools"]?.arrayValue?.first)
        #expect(
            pool.objectValue?.map(\.name) == [
                "name", "status", "strategy", "min_workers", "max_workers", "queue_depth", "workers",
            ])
        let workers = try #require(pool["workers"]?.arrayValue)
        #expect(workers.count == 2)
        #expect(
            workers[0].objectValue?.map(\.name) == [
                "slot", "worker_id", "pid", "state", "reason", "in_flight", "max_concurrency", "served",
                "errors", "p50_ms", "p99_ms", "rss_bytes", "cpu_percent", "uptime_seconds", "restarts",
                "deaths", "noise_lines", "late_replies", "last_exit",
            ])
        #expect(workers[0]["pid"] == .null)
        #expect(workers[0]["state"] == "starting")
    }

    @Test func isUnavailableThenDegradedThenHealthy() throws {
        let scenario = Scenario()
        #expect(scenario.status()["status"] == "unavailable")
        scenario.makeReady(scenario.workers[0])
        #expect(scenario.status()["status"] == "degraded")
        scenario.makeReady(scenario.workers[1])
        #expect(scenario.status()["status"] == "healthy")
        #expect(scenario.status()["reasons"] == [])
        scenario.exit(scenario.workers[0])
        #expect(scenario.status()["status"] == "degraded")
        let worker = scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0]
        #expect(worker?["state"] == "backoff")
        #expect(worker?["pid"] == .null)
        #expect(worker?["last_exit"]?["signal"] == "SIGKILL")
        #expect(worker?["last_exit"]?["code"] == .null)
        #expect(worker?["last_exit"]?["at"] == "2023-11-14T22:13:20.000Z")
    }

    @Test func showsABusyWorkerAndWhatItServed() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        func worker() -> JSONValue? {
            scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0]
        }
        #expect(worker()?["state"] == "busy")
        #expect(worker()?["in_flight"] == 1)
        scenario.pass(.milliseconds(20))
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(worker()?["state"] == "ready")
        #expect(worker()?["served"] == 1)
        let median = try #require(worker()?["p50_ms"]?.doubleValue)
        #expect(abs(median - 20) < 0.4)
    }

    @Test func hidesWhatWorkersWroteFromOthers() throws {
        let scenario = Scenario.ready(workers: 1)
        scenario.exit(scenario.workers[0])
        func exit(_ forOperator: Bool) -> JSONValue? {
            scenario.status(forOperator: forOperator)["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0][
                "last_exit"]
        }
        #expect(exit(true)?["stderr_tail"] == "first\nlast words")
        #expect(exit(false)?["stderr_tail"] == nil)
        #expect(!scenario.status(forOperator: false).text.contains("last words"))
    }

    @Test func isAnsweredAtOnceWhileEveryWorkerIsBusyAndTheQueueFull() throws {
        let scenario = Scenario.ready(workers: 1) { $0.loadBalancer.queueSize = 1 }
        let client = try scenario.connect()
        for id in 1...3 { scenario.call(client, id) }
        _ = scenario.take(client)
        scenario.call(client, 4, "supervisor.status")
        scenario.call(client, 5, "ping")
        let answers = scenario.take(client)
        #expect(answers.count == 2)
        #expect(answers[0]["result"]?["pools"]?.arrayValue?[0]["queue_depth"] == 1)
        #expect(answers[1]["result"]?["message"] == "pong")
        #expect(answers[1]["result"]?["timestamp"]?.doubleValue == 1_700_000_000)
    }
}
