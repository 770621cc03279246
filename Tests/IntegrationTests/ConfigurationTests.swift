import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The configuration of a running supervisor, changed and looked at.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct ConfigurationCalls {
        @Test func aBadUpdateChangesNothingAndNamesAllThatIsWrong() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let change =
                #"{"timeouts":{"default":"100ms","max":5},"pools":[{"nam":"x"}],"retry":{"budget_min":-1}}"#
            let refused = try client.call("config.update", change)
            #expect(refused.errorCode == 4001)
            let errors = refused[path: "error.data.errors"].arrayValue ?? []
            #expect(
                Set(errors.compactMap { $0["path"]?.stringValue }) == [
                    "timeouts.max", "pools[0].nam", "retry.budget_min",
                ])
            #expect(try client.call("sleep", #"{"ms":300}"#)["result"] != nil, "100 ms do not hold")
            let judged = try client.call("config.validate", change)
            #expect(judged[path: "result.valid"] == false)
            #expect(judged[path: "result.errors"].arrayValue == errors)
            #expect(supervisor.records("config.rejected").first?["errors"] == 3)
        }

        @Test func aGoodUpdateHoldsForTheNextCallAndForNewWorkersUntilAReload() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let update = try client.call("config.update", #"{"timeouts":{"per_method":{"sleep":"100ms"}}}"#)
            #expect(update[path: "result.applied"] == ["timeouts.per_method.sleep"])
            #expect(try client.call("sleep", #"{"ms":2000}"#).errorCode == 1002)
            #expect(try supervisor.command(["restart", "--wait"]).exitCode == 0)
            #expect(try client.call("sleep", #"{"ms":2000}"#).errorCode == 1002)
            #expect(try client.call("config.reload")[path: "result.applied"] == ["timeouts.per_method.sleep"])
            #expect(try client.call("sleep", #"{"ms":300}"#)["result"] != nil)
            #expect(supervisor.records("config.updates_forgotten").count == 1)
            #expect(supervisor.records("config.changed").count == 2)
        }

        @Test func aNewEnvironmentReachesNewWorkersAndNoLog() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let client = try supervisor.client()
            let before = try supervisor.workerPIDs()
            let update = try client.call(
                "config.update", #"{"pools":[{"env":{"API_TOKEN":"hunter2"}}]}"#, within: 20)
            #expect(update[path: "result.applied"] == ["pools[0].env.API_TOKEN"])
            #expect(Set(try supervisor.workerPIDs()).isDisjoint(with: before))
            let born = try client.call("introspect")
            #expect(born[path: "result.environment.API_TOKEN"] == "hunter2", Comment(rawValue: born.text))
            #expect(!supervisor.log.contains("hunter2"))
        }

        @Test func aCommandThatDoesNotComeUpIsTakenBack() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let client = try supervisor.client()
            let before = try supervisor.workerPIDs()
            let refused = try client.call(
                "config.update", #"{"pools":[{"command":["false"],"max_concurrency":1}]}"#, within: 20)
            #expect(refused.errorCode == 4001 && refused.errorReason == "replacement_failed")
            #expect(try supervisor.workerPIDs() == before)
            let update = try client.call("config.update", "{}")
            #expect(update["result"] == ["applied": [], "restart_required": []])
        }

        @Test("reloads and updates under load lose no call", .timeLimit(.minutes(1)))
        func underLoad() throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "4"], language: .swift)
            let control = try supervisor.client()
            var turns = 0
            var storm = try CallStorm(supervisor, connections: 4) { _ in
                .init(method: "sleep", params: ",\"ms\":5")
            }
            try storm.run(for: 1.5) { elapsed in
                guard elapsed > 0.2 * Double(turns + 1), turns < 6 else { return }
                turns += 1
                if turns % 3 == 1 { supervisor.process.signal(SIGHUP) }
                try control.start("config.update", #"{"retry":{"budget_min":\#(turns)}}"#)
            }
            #expect(storm.account.unanswered == 0 && storm.account.duplicates == 0)
            #expect(storm.account.results == storm.account.sent, "\(storm.account.errors)")
            for (_, answer) in try control.receiveAll(turns, within: 20) {
                #expect(answer[path: "result.restart_required"] == [], Comment(rawValue: answer.text))
            }
            #expect(turns == 6)
            #expect(try control.call("config.reload", within: 20)["error"] == nil)
        }

        // MARK: The command line

        @Test func showsTheWholeConfigurationWithoutSecrets() throws {
            let directory = try TestDirectory()
            let file = try directory.write(
                "{pools: [{env: {A: 'hunter2'}, min_workers: 3}], health: {interval: '7s'}}", to: "c.json5")
            let environment = ChildProcess.environment.merging(["SUPERVISOR_LOG_LEVEL": "debug"]) { $1 }
            let run = try Command.run(
                [Programs.supervisor, "config", "show", file], environment: environment)
            #expect(run.exitCode == 0)
            let shown = try JSONValue(parsing: run.output)
            #expect(shown[path: "pools.0.env.A"] == "…")
            #expect(shown[path: "pools.0.max_workers"] == 3)
            #expect(shown[path: "health.interval"] == "7s")
            #expect(shown[path: "health.timeout"] == "5s")
            #expect(shown[path: "logging.level"] == "debug")
        }

        @Test func namesAllThatIsWrongWithAFile() throws {
            let directory = try TestDirectory()
            let file = try directory.write(
                "{\n helth: {},\n pools: [{env: {A: 77}}],\n}", to: "c.json5")
            for action in ["show", "validate"] {
                let run = try Command.run([Programs.supervisor, "config", action, file])
                #expect(run.exitCode == 2 && run.output == "")
                #expect(run.errors.contains("c.json5:2:2: helth: unknown key; did you mean health?"))
                #expect(run.errors.contains("c.json5:3:") && !run.errors.contains("77"))
            }
            try directory.write("{}", to: "c.json5")
            let right = try Command.run([Programs.supervisor, "config", "validate", file])
            #expect(right.exitCode == 0 && right.output == "\(file) is valid\n")
            #expect(try Command.run([Programs.supervisor, "config", "sow"]).exitCode == 2)
        }

        // MARK: The control socket

        @Test func operatorsUseTheControlSocket() throws {
            let directory = try TestDirectory()
            let supervisor = try SupervisorProcess(
                settings: "control_socket: { path: \"\(directory.file("c"))\", mode: \"0640\" }",
                in: directory)
            var info = stat()
            #expect(lstat(directory.file("c"), &info) == 0 && info.st_mode & 0o777 == 0o640)
            let main = try supervisor.client()
            let refused = try main.call("supervisor.stop")
            #expect(refused.errorCode == -32001 && refused.errorReason == "control_socket_only")
            #expect(try main.call("echo", "[1]")["result"] == [1])
            let control = try Client(directory.file("c"), of: supervisor)
            #expect(try control.call("supervisor.status")["result"] != nil)
            #expect(try control.call("echo", "[2]")["result"] == [2])
            #expect(try control.call("config.update", "{}")["result"] != nil)
            let second = try Command.run([
                Programs.supervisor, "serve", "--config", directory.file("supervisor.json5"), "--socket",
                directory.file("other"),
            ])
            #expect(second.exitCode == 2 && second.errors.contains("pid \(supervisor.pid)"))
            #expect(!Files.exists(directory.file("other")), "a start that fails leaves nothing behind")
            #expect(!Files.exists(directory.file("other.lock")))
            let stop = try Command.run([Programs.supervisor, "stop", "--socket", directory.file("c")])
            #expect(stop.exitCode == 0)
            #expect(try supervisor.process.exit() == .exited(code: 0))
            #expect(!Files.exists(directory.file("c")) && !Files.exists(directory.file("c.lock")))
        }

        @Test func aControlSocketLeftBehindIsReplaced() throws {
            let directory = try TestDirectory()
            let supervisor = try SupervisorProcess(
                settings: "control_socket: { path: \"\(directory.file("c"))\" }", in: directory)
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
            #expect(Files.exists(directory.file("c")))
            try supervisor.startAgain()
            try eventually("the control socket is listened on, too") {
                UnixSocket.owner(of: directory.file("c"))?.pid == supervisor.pid
            }
            #expect(try Client(directory.file("c"), of: supervisor).call("ping")["result"] != nil)
        }
    }
}
