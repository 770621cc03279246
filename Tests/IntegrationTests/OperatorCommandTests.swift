import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `supervisor restart`, `reload`, `drain` and `scale`, with their exit codes and what they say.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct OperatorCommands {
        @Test func restartReplacesAllWorkersAndWaits() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let before = try supervisor.workerPIDs()
            let run = try supervisor.command(["restart", "--rolling", "--wait"])
            #expect(run.exitCode == 0 && run.errors == "")
            #expect(run.output.hasSuffix("2 workers replaced\n"))
            #expect(Set(try supervisor.workerPIDs()).isDisjoint(with: before))
            #expect(before.allSatisfy { kill($0, 0) != 0 }, "every replaced process has exited")
            #expect(try supervisor.status()["status"] == "healthy")
        }

        @Test func restartWithoutWaitingSaysWhatItWillDo() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let before = try supervisor.workerPIDs()
            let run = try supervisor.command(["restart"])
            #expect(run.exitCode == 0 && run.output.hasPrefix("2 workers to be replaced"))
            try eventually("both are replaced") {
                try Set(supervisor.workerPIDs()).isDisjoint(with: before)
            }
        }

        @Test func restartOfOneLeavesTheOthers() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let before = try supervisor.workerPIDs()
            let id = try #require(try supervisor.worker(0)["worker_id"]?.stringValue)
            let run = try supervisor.command(["restart", id, "--wait"])
            #expect(run.exitCode == 0 && run.output.contains("has replaced \(id)"))
            let byNumber = try supervisor.command(["restart", "0", "--wait"])
            #expect(byNumber.exitCode == 0)
            let after = try supervisor.workerPIDs()
            #expect(after[0] != before[0] && after[1] == before[1])
            let byPID = try supervisor.command(["restart", "\(after[1])", "--wait"])
            #expect(byPID.exitCode == 0)
            #expect(try supervisor.workerPIDs()[1] != after[1])
        }

        @Test func aNameThatMeansNoWorkerIsRefused() throws {
            let supervisor = try SupervisorProcess()
            let run = try supervisor.command(["restart", "worker_nobody"])
            #expect(run.exitCode == 1 && run.output == "")
            #expect(run.errors.contains("no worker is meant by worker_nobody"))
            let both = try supervisor.command(["restart", "0", "--rolling"])
            #expect(both.exitCode == 2)
            let none = try supervisor.command(["drain"])
            #expect(none.exitCode == 2)
            for wrong in ["0", "-1", "many", "1e3"] {
                #expect(try supervisor.command(["scale", "--", wrong]).exitCode == 2)
            }
        }

        @Test func drainLeavesAWorkerAloneUntilItsRestart() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let pid = try supervisor.workerPIDs()[0]
            let run = try supervisor.command(["drain", "\(pid)"])
            #expect(run.exitCode == 0 && run.output.contains("takes no new calls"))
            let client = try supervisor.client()
            for _ in 0..<4 {
                let answer = try client.call("whoami")
                #expect(answer[path: "result.pid"] != .integer(pid))
            }
            #expect(try supervisor.command(["status"]).output.contains("drained by an operator"))
            #expect(try supervisor.command(["restart", "0", "--wait"]).exitCode == 0)
            #expect(kill(pid, 0) != 0)
            #expect(try supervisor.command(["status"]).exitCode == 0)
        }

        @Test func scaleChangesTheNumberOfWorkers() throws {
            let supervisor = try SupervisorProcess(workers: 1)
            let run = try supervisor.command(["scale", "3"])
            #expect(run.exitCode == 0 && run.output.contains("3 workers"))
            try supervisor.waitUntilReady(3)
            #expect(try supervisor.command(["scale", "1", "--pool", "default"]).exitCode == 0)
            #expect(try supervisor.workerPIDs().count == 1)
            let unknown = try supervisor.command(["scale", "1", "--pool", "defalt"])
            #expect(unknown.exitCode == 1 && unknown.errors.contains("did you mean default?"))
        }

        @Test func reloadTakesTheNewFileAndRefusesABadOne() throws {
            let supervisor = try SupervisorProcess(workers: 1)
            let file = supervisor.directory.file("supervisor.json5")
            let command = JSONValue.array(try Programs.fixtureWorker().map { .string($0) }).text
            try supervisor.directory.write(
                "{ pools: [{ command: \(command), min_workers: 2 }], socket: { mode: \"0666\" } }",
                to: "supervisor.json5")
            let run = try supervisor.command(["reload", "--wait"])
            #expect(run.exitCode == 0 && run.output.contains("needs a restart of the supervisor: socket"))
            try supervisor.waitUntilReady(2)
            try supervisor.directory.write(
                "{ pool: [], health: { interval: \"soon\" } }", to: "supervisor.json5")
            let bad = try supervisor.command(["reload", "--wait"])
            #expect(bad.exitCode == 1 && bad.output == "")
            #expect(bad.errors.contains("pool: unknown key; did you mean pools?"))
            #expect(bad.errors.contains("health.interval: expected a duration"))
            #expect(try supervisor.workerPIDs().count == 2)
            unlink(file)
            #expect(try supervisor.command(["reload"]).exitCode == 1)
            #expect(try supervisor.status()["status"] == "healthy")
        }

        @Test func aHangupSignalReloads() throws {
            let supervisor = try SupervisorProcess(workers: 1)
            let before = try supervisor.workerPIDs()
            supervisor.process.signal(SIGHUP)
            try eventually("the worker is replaced") { try supervisor.workerPIDs() != before }
            try eventually("it is over") { !supervisor.records("rollout.done").isEmpty }
        }
    }
}
