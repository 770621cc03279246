import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `supervisor COMMAND`, with its exit codes.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct CommandLineOfTheSupervisor {
        @Test func callPrintsTheResult() throws {
            let supervisor = try SupervisorProcess()
            let run = try supervisor.command(["call", "echo", #"{"a": [1.50, "é"]}"#])
            #expect(run.exitCode == 0 && run.errors == "")
            #expect(try JSONValue(parsing: run.output) == ["a": [1.5, "é"]])
            let raw = try supervisor.command(["call", "raw", #"{"text":"[1.50]"}"#, "--raw"])
            #expect(raw.output == "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[1.50]}\n")
            let piped = try supervisor.command(["call", "echo", "-"], input: "{\n \"piped\": true\n}\n")
            #expect(try JSONValue(parsing: piped.output) == ["piped": true])
        }

        @Test func callPassesMetadataAndTimeoutOn() throws {
            let supervisor = try SupervisorProcess()
            let run = try supervisor.command([
                "call", "metadata", "--metadata", #"{"request_id":"mine"}"#, "--timeout", "3s", "--raw",
            ])
            let response = try JSONValue(parsing: run.output)
            #expect(response[path: "metadata.request_id"] == "mine")
            #expect(response[path: "result.request_id"] == "mine")
            let left = try #require(response[path: "result.deadline_ms"].integerValue)
            #expect((2000...3000).contains(left))
        }

        @Test func callTellsHowItFailedByItsExitCode() throws {
            let supervisor = try SupervisorProcess()
            let refused = try supervisor.command(["call", "no_such_method"])
            #expect(refused.exitCode == 4 && refused.output == "")
            #expect(refused.errors.contains("Method not found: no_such_method"))
            let raw = try supervisor.command(["call", "supervisor.nothing", "--raw"])
            #expect(raw.exitCode == 4 && raw.output == "")
            #expect(try JSONValue(parsing: raw.errors).errorCode == -32601)
            let late = try supervisor.command(["call", "sleep", #"{"ms":3000}"#, "--timeout", "200ms"])
            #expect(late.exitCode == 4 && late.errors.contains("1002"))
            #expect(late.seconds < 1.5)
            for wrong in [
                ["call"], ["call", "echo", "{"], ["call", "echo", "7"],
                ["call", "echo", "--timeout", "soon"],
                ["call", "echo", "--metadata", "[]"], ["call", "echo", "[]", "too many"],
            ] {
                let run = try supervisor.command(wrong)
                #expect(
                    run.exitCode == 2 && run.output == "" && run.errors != "", Comment(rawValue: "\(wrong)"))
            }
        }

        @Test func callIsRefusedByASupervisorThatDoesNotAnswer() throws {
            let supervisor = try SupervisorProcess()
            supervisor.process.signal(SIGSTOP)
            let run = try supervisor.command(["call", "ping", "--timeout", "100ms"])
            #expect(run.exitCode == 1 && run.errors.contains("\(supervisor.pid)"))
            let status = try supervisor.command(["status"])
            #expect(status.exitCode == 1 && (4...8).contains(status.seconds))
            supervisor.process.signal(SIGCONT)
        }

        private static let statusMembers = [
            "status", "reasons", "version", "pid", "uptime_seconds", "socket", "connections", "pools",
            "cache",
        ]
        private static let poolMembers = [
            "name", "status", "strategy", "min_workers", "max_workers", "queue_depth", "workers",
        ]
        private static let workerMembers = [
            "slot", "worker_id", "pid", "state", "reason", "in_flight", "max_concurrency", "served", "errors",
            "p50_ms", "p99_ms", "rss_bytes", "cpu_percent", "uptime_seconds", "restarts", "deaths",
            "noise_lines", "late_replies", "last_exit",
        ]

        private func names(_ value: JSONValue) -> Set<String> { Set((value.objectValue ?? []).map(\.name)) }

        @Test func statusShowsEveryMember() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let run = try supervisor.command(["status", "--json"])
            #expect(run.exitCode == 0)
            let status = try JSONValue(parsing: run.output)
            #expect(self.names(status).isSuperset(of: Self.statusMembers))
            #expect(status["status"] == "healthy")
            #expect(status["pid"] == .integer(supervisor.pid))
            #expect(status["socket"]?.stringValue == supervisor.socket)
            #expect(self.names(status[path: "pools.0"]).isSuperset(of: Self.poolMembers))
            #expect(status[path: "pools.0.workers"].arrayValue?.count == 2)
            for slot in 0..<2 {
                let worker = status[path: "pools.0.workers.\(slot)"]
                #expect(self.names(worker).isSuperset(of: Self.workerMembers))
                #expect(worker["slot"] == .integer(slot) && worker["state"] == "ready")
                let pid = Int32(worker["pid"]?.integerValue ?? 0)
                #expect(Processes.isAlive(pid) && Processes.name(pid).hasPrefix("python"))
                #expect((worker["rss_bytes"]?.integerValue ?? 0) > 0)
                let id = try #require(worker["worker_id"]?.stringValue)
                #expect(id.wholeMatch(of: /worker_[0-9]{13}_[0-9a-z]{9}/) != nil)
            }
        }

        @Test func statusShowsATableForPeople() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let run = try supervisor.command(["status"])
            #expect(run.exitCode == 0)
            let id = try #require(try supervisor.worker()["worker_id"]?.stringValue)
            for word in ["HEALTHY", "pool default", "round_robin", "SLOT", "STATE", "ready", id] {
                #expect(run.output.contains(word), Comment(rawValue: word))
            }
            #expect(run.output.split(separator: "\n").count == 5)
        }

        @Test func statusTellsByItsExitCode() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--exit", "3", "--stderr", "no licence"], waits: false)
            try supervisor.waitForWorker("it has failed") { $0["last_exit"] != .null }
            let run = try supervisor.command(["status"])
            #expect(run.exitCode == 1)
            #expect(run.output.contains("UNAVAILABLE") && run.output.contains("no licence"))
        }

        @Test func stopWaitsUntilAllIsGone() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let workers = try supervisor.workerPIDs()
            let run = try supervisor.command(["stop", "--wait"])
            #expect(run.exitCode == 0)
            #expect(!workers.contains(where: Processes.isAlive))
            #expect(try supervisor.process.exit(within: 1) == .exited(code: 0))
            #expect(!Files.exists(supervisor.socket))
        }

        @Test func namesThePlacesItTriedWhenNothingRuns() throws {
            let directory = try TestDirectory()
            let path = directory.file("none.sock")
            for command in [["status"], ["call", "ping"], ["stop"]] {
                let run = try Command.run([Programs.supervisor] + command + ["--socket", path])
                #expect(run.exitCode == 3 && run.errors.contains(path), Comment(rawValue: command[0]))
            }
            let environment = ChildProcess.environment.merging(["XDG_RUNTIME_DIR": directory.path]) { $1 }
            let run = try Command.run([Programs.supervisor, "status"], environment: environment)
            #expect(run.exitCode == 3)
            #expect(run.errors.contains("\(directory.path)/supervisor.sock"))
            #expect(run.errors.contains("/tmp/supervisor-\(getuid())/supervisor.sock"))
            let stale = try SupervisorProcess()
            stale.process.signal(SIGKILL)
            _ = try stale.process.exit()
            let dead = try stale.command(["status"])
            #expect(dead.exitCode == 3 && dead.errors.contains("nothing listens"))
        }

        @Test func explainsEveryCommand() throws {
            let overview = try Command.run([Programs.supervisor, "help"])
            #expect(overview.exitCode == 0)
            for name in ["serve", "status", "call", "stop", "version", "help"] {
                #expect(overview.output.contains(name))
                let long = try Command.run([Programs.supervisor, name, "--help"])
                let short = try Command.run([Programs.supervisor, "help", name])
                #expect(long.exitCode == 0 && long.errors == "", Comment(rawValue: name))
                #expect(long.output.hasPrefix("Usage: supervisor \(name)"))
                #expect(long.output == short.output)
            }
        }

        @Test func printsTheVersionOfBothPrograms() throws {
            let supervisor = try Command.run([Programs.supervisor, "version"])
            let worker = try Command.run([Programs.worker, "version"])
            #expect(supervisor.exitCode == 0 && worker.exitCode == 0)
            #expect(supervisor.output == "supervisor \(ProductVersion.text)\n")
            #expect(worker.output == "worker \(ProductVersion.text)\n")
        }

        @Test func namesTheNearestOfWhatItDoesNotKnow() throws {
            for (arguments, nearest) in [
                (["serv"], "serve"), (["statsu"], "status"), (["serve", "--confg", "x"], "--config"),
                (["status", "--jsn"], "--json"),
            ] {
                let run = try Command.run([Programs.supervisor] + arguments)
                let name = Comment(rawValue: "\(arguments): \(run.errors)")
                #expect(run.exitCode == 2 && run.output == "", name)
                #expect(
                    run.errors.contains(arguments.last { $0 != "x" } ?? "") && run.errors.contains(nearest),
                    name)
            }
        }
    }

    /// Who gets the next call.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Balancing {
        @Test func roundRobinAlternates() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let client = try supervisor.client()
            let ids = try (0..<10).map { _ in try client.call("whoami")[path: "result.worker_id"] }
            #expect(Set(ids.map(\.text)).count == 2)
            for index in 2..<10 { #expect(ids[index] == ids[index - 2]) }
            #expect(ids[0] != ids[1])
        }

        @Test(arguments: ["least_load", "least_connections"])
        func leastLoadSpreads(strategy: String) throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "4"],
                settings: "load_balancer: { strategy: \"\(strategy)\" }")
            let client = try supervisor.client()
            let slow = try client.start("sleep", #"{"ms":600}"#, metadata: "{}")
            for _ in 0..<6 { try client.start("whoami") }
            let answers = try client.receiveAll(7)
            let busy = answers[slow]?[path: "metadata.worker_id"]
            let others = answers.filter { $0.key != slow }.map { $0.value[path: "result.worker_id"] }
            // Six quick calls come at once: the idle worker is given the first, then both are used.
            #expect(others.count { $0 != busy } >= 3)
        }

        @Test func performanceBasedServes() throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "4"],
                settings: "load_balancer: { strategy: \"performance_based\" }")
            let client = try supervisor.client()
            let ids = try (0..<40).map { _ in try client.call("whoami")[path: "result.worker_id"].text }
            #expect(Set(ids).count == 2)
        }

        @Test func keepsToTheDeclaredConcurrency() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "2"])
            let client = try supervisor.client()
            let watch = Stopwatch()
            for _ in 0..<4 { try client.start("sleep", #"{"ms":200}"#) }
            _ = try client.receiveAll(4)
            #expect((0.4...0.9).contains(watch.seconds))
        }
    }
}
