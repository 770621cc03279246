import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `supervisor serve`: how it starts, and how it refuses to.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Serving {
        private func serve(
            _ arguments: [String], environment: [String: String] = [:], directory: String? = nil,
            descriptorLimit: Int? = nil
        ) throws -> Command {
            try Command.run(
                [Programs.supervisor, "serve"] + arguments,
                environment: ChildProcess.environment.merging(environment) { $1 }, directory: directory,
                descriptorLimit: descriptorLimit, within: 5)
        }

        // MARK: Configuration

        @Test func refusesAConfigurationThatIsNotThere() throws {
            let run = try self.serve(["--config", "/nowhere/at/all.json5", "--socket", "/tmp/svt-unused"])
            #expect(run.exitCode == 2 && run.output == "")
            #expect(run.errors.contains("/nowhere/at/all.json5") && run.errors.contains("No such file"))
            #expect(!Files.exists("/tmp/svt-unused"))
        }

        @Test func namesEverythingThatIsWrongInAConfiguration() throws {
            let directory = try TestDirectory()
            let path = try directory.write(
                """
                {
                  pools: [{ command: ["x"], min_wokers: 2 }],
                  timeouts: { default: "soon" },
                  load_balancer: { strategy: "round_robbin" },
                }
                """, to: "broken.json5")
            let run = try self.serve(["--config", path, "--socket", directory.file("s")])
            #expect(run.exitCode == 2)
            for word in [
                path, "min_wokers", "min_workers", "timeouts.default", "soon", "strategy", "round_robin",
            ] {
                #expect(run.errors.contains(word), Comment(rawValue: "\(word) in \(run.errors)"))
            }
            #expect(!Files.exists(directory.file("s")))
        }

        @Test func namesThePlaceOfASyntaxError() throws {
            let directory = try TestDirectory()
            let path = try directory.write("{\n  pools: [{ command: [\"x\"] }\n}\n", to: "broken.json5")
            let run = try self.serve(["--config", path, "--socket", directory.file("s")])
            #expect(run.exitCode == 2)
            #expect(run.errors.contains("\(path):3:"), Comment(rawValue: run.errors))
        }

        @Test func refusesBadFlagsAndVariables() throws {
            for arguments in [
                ["--workers", "0"], ["--workers", "many"], ["--strategy", "random"], ["--log-level", "loud"],
            ] {
                let run = try self.serve(arguments + ["--socket", "/tmp/svt-unused"])
                let name = Comment(rawValue: "\(arguments): \(run.errors)")
                #expect(
                    run.exitCode == 2 && run.errors.contains(arguments[0])
                        && run.errors.contains(arguments[1]), name)
            }
            let run = try self.serve(
                ["--socket", "/tmp/svt-unused"], environment: ["SUPERVISOR_LOG_LEVEL": "loud"])
            #expect(run.exitCode == 2 && run.errors.contains("SUPERVISOR_LOG_LEVEL"))
        }

        @Test func servesACommandWithoutAnyFile() throws {
            let directory = try TestDirectory()
            let process = try ChildProcess(
                [Programs.supervisor, "serve", "--workers", "3", "--strategy", "least_load", "--"]
                    + Programs.fixtureWorker(),
                environment: ChildProcess.environment.merging(
                    ["SUPERVISOR_SOCKET": directory.file("s")]) { $1 })
            try eventually("three workers are ready") {
                guard let client = try? Client(directory.file("s")) else { return false }
                let status = try client.call("supervisor.status")[path: "result"]
                return status["status"] == "healthy" && status[path: "pools.0.workers"].arrayValue?.count == 3
                    && status[path: "pools.0.strategy"] == "least_load"
            }
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
        }

        @Test func logsOneJSONObjectALine() throws {
            let supervisor = try SupervisorProcess(fixture: ["--stderr", "hello \u{1b}[31m from the worker"])
            let lines = supervisor.log.split(separator: "\n")
            #expect(lines.count >= 3)
            for line in lines {
                #expect(
                    (try? JSONValue(parsing: String(line)))?["event"] != nil, Comment(rawValue: String(line)))
            }
            #expect(!supervisor.log.contains("\u{1b}"))
        }

        // MARK: The socket

        @Test func makesASocketForItsUserOnly() throws {
            let supervisor = try SupervisorProcess()
            var info = stat()
            #expect(stat(supervisor.socket, &info) == 0 && info.st_mode & 0o777 == 0o600)
            let open = try SupervisorProcess(settings: "socket: { mode: \"0660\" }")
            #expect(stat(open.socket, &info) == 0 && info.st_mode & 0o777 == 0o660)
        }

        @Test func refusesASocketPathThatCannotBe() throws {
            let directory = try TestDirectory()
            let long = directory.file(String(repeating: "s", count: 120))
            let tooLong = try self.serve(["--socket", long])
            #expect(tooLong.exitCode == 2 && tooLong.errors.contains("107"))
            let missing = try self.serve(["--socket", directory.file("no/such/s")])
            #expect(missing.exitCode == 2 && missing.errors.contains(directory.file("no/such")))
            let taken = try directory.write("precious", to: "file")
            let refused = try self.serve(["--socket", taken])
            #expect(refused.exitCode == 2 && refused.errors.contains(taken))
            #expect(Files.text(taken) == "precious", "it is left as it is")
        }

        @Test func refusesASocketThatAnotherListensOn() throws {
            let supervisor = try SupervisorProcess()
            let second = try self.serve(["--socket", supervisor.socket, "--", "cat"])
            #expect(second.exitCode == 2 && second.errors.contains("\(supervisor.pid)"))
            #expect(try supervisor.client().call("ping")["result"] != nil)
            // Also when nothing but the socket tells, and it is a stranger's.
            let directory = try TestDirectory()
            let script =
                "import socket,sys,time; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); time.sleep(60)"
            let stranger = try ChildProcess([Programs.python ?? "", "-c", script, directory.file("s")])
            try eventually("it listens") { (try? UnixSocket.connect(to: directory.file("s"))) != nil }
            let third = try self.serve(["--socket", directory.file("s"), "--", "cat"])
            #expect(third.exitCode == 2 && third.errors.contains("\(stranger.pid)"))
            #expect(stranger.isRunning && Files.exists(directory.file("s")))
        }

        @Test func oneOfManyThatStartAtOnceWins() throws {
            let directory = try TestDirectory()
            let command =
                try [Programs.supervisor, "serve", "--socket", directory.file("s"), "--"]
                + Programs.fixtureWorker()
            let processes = try (0..<6).map { _ in try ChildProcess(command) }
            try eventually("five are refused") { processes.count { !$0.isRunning } == 5 }
            for loser in processes where !loser.isRunning { #expect(loser.status == .exited(code: 2)) }
            let running = processes.filter(\.isRunning)
            let winner = try #require(running.first)
            let status = try Client(directory.file("s")).call("supervisor.status")
            #expect(status[path: "result.pid"] == .integer(winner.pid))
        }

        // MARK: Descriptors

        @Test func refusesALimitThatCannotHoldItsWorkers() throws {
            let directory = try TestDirectory()
            let run = try self.serve(
                ["--socket", directory.file("s"), "--workers", "20", "--", "cat"], descriptorLimit: 64)
            #expect(run.exitCode == 2)
            for word in ["20 workers", "96", "64"] {
                #expect(run.errors.contains(word), Comment(rawValue: run.errors))
            }
        }

        // MARK: Strange parents

        @Test func reapsItsWorkersWhenItsParentIgnoredSIGCHLD() throws {
            let directory = try TestDirectory()
            let script =
                "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
                + "os.execv(sys.argv[1], sys.argv[1:])"
            let process = try ChildProcess(
                [
                    Programs.python ?? "", "-c", script, Programs.supervisor, "serve", "--socket",
                    directory.file("s"), "--",
                ]
                    + Programs.fixtureWorker())
            func worker() throws -> JSONValue {
                guard let client = try? Client(directory.file("s")) else { return .null }
                return try client.call("supervisor.status")[path: "result.pools.0.workers.0"]
            }
            try eventually("it serves") { try worker()["state"] == "ready" }
            kill(Int32(try worker()["pid"]?.integerValue ?? 0), SIGKILL)
            try eventually("its worker is replaced") {
                let worker = try worker()
                return worker["state"] == "ready" && worker[path: "last_exit.signal"] == "SIGKILL"
            }
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
        }

        @Test func servesWithoutStandardDescriptors() throws {
            let directory = try TestDirectory()
            let process = try ChildProcess(
                [
                    "/bin/sh", "-c", "exec \"$@\" <&- >&- 2>&-", "sh", Programs.supervisor, "serve",
                    "--socket",
                    directory.file("s"), "--",
                ] + Programs.fixtureWorker())
            try eventually("it listens") { (try? UnixSocket.connect(to: directory.file("s"))) != nil }
            #expect(try Client(directory.file("s")).call("echo", "[1]")["result"] == [1])
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
        }

        @Test func goesOnWithANewLogFileWhenToldTo() throws {
            let supervisor = try SupervisorProcess(settings: "logging: { file: \"log\" }")
            let (log, old) = (supervisor.directory.file("log"), supervisor.directory.file("log.1"))
            #expect(Files.text(log).contains("worker.ready"))
            rename(log, old)
            supervisor.process.signal(SIGUSR1)
            try eventually("there is a new file") { Files.exists(log) }
            kill(try #require(try supervisor.workerPIDs().first), SIGKILL)
            try eventually("it is written to") { Files.text(log).contains("worker.exited") }
            #expect(!Files.text(old).contains("worker.exited"))
        }

        @Test func survivesAHangUp() throws {
            let supervisor = try SupervisorProcess()
            supervisor.process.signal(SIGHUP)
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
            #expect(supervisor.process.isRunning)
        }
    }
}
