import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// What another user may see and do. Only root can become one.
    @Suite(
        .timeLimit(.minutes(1)), .needsPython,
        .enabled(if: getuid() == 0, "only root can become another user"))
    struct OtherUsers {
        private static let nobody: UInt32 = 65534

        private func serve(_ settings: String = "") throws -> SupervisorProcess {
            let directory = try TestDirectory()
            chmod(directory.path, 0o755)
            return try SupervisorProcess(
                workers: 2, settings: "socket: { mode: \"0666\" }, \(settings)", in: directory)
        }

        /// Asks as another user.
        private func ask(_ supervisor: SupervisorProcess, _ method: String, _ params: String = "{}") throws
            -> JSONValue
        {
            let script = """
                import os, socket, sys
                os.setgid(\(Self.nobody)); os.setuid(\(Self.nobody))
                s = socket.socket(socket.AF_UNIX)
                s.connect(sys.argv[1])
                s.sendall(sys.argv[2].encode() + b"\\n")
                print(s.makefile().readline())
                """
            let call = #"{"jsonrpc":"2.0","id":1,"method":"\#(method)","params":\#(params)}"#
            let run = try Command.run([Programs.python ?? "", "-c", script, supervisor.socket, call])
            guard run.exitCode == 0 else { throw Failure(run.errors) }
            return try JSONValue(parsing: run.output)
        }

        @Test func mayCallButNotStop() throws {
            let supervisor = try self.serve()
            #expect(try self.ask(supervisor, "echo", "[1]")["result"] == [1])
            let refused = try self.ask(supervisor, "supervisor.stop")
            #expect(refused.errorCode == -32001 && refused.errorReason == "operators_only")
            #expect(supervisor.process.isRunning)
            #expect(supervisor.records("operator.refused").first?["peer_uid"] == .integer(Self.nobody))
        }

        @Test func mayCallButNotChangeTheConfiguration() throws {
            let supervisor = try self.serve()
            #expect(try self.ask(supervisor, "rag.execute", #"{"query":"q"}"#)["result"] == ["query": "q"])
            for method in ["config.update", "config.reload"] {
                let refused = try self.ask(supervisor, method)
                #expect(refused.errorCode == -32001 && refused.errorReason == "operators_only")
            }
            #expect(try self.ask(supervisor, "config.validate")["result"] == ["valid": true, "errors": []])
        }

        @Test func mayStopWhenNamedAsOperators() throws {
            let supervisor = try self.serve("operators: [\(Self.nobody)]")
            #expect(try self.ask(supervisor, "supervisor.stop")["error"] == nil)
            #expect(try supervisor.process.exit() == .exited(code: 0))
        }

        @Test func doNotSeeWhatWorkersWroteToStderr() throws {
            let supervisor = try self.serve()
            let crash = try self.ask(supervisor, "crash", #"{"stderr":"the secret"}"#)
            #expect(crash.errorCode == 2001 && !crash.text.contains("the secret"))
            try eventually("an exit is in the status") { try supervisor.status().text.contains("the secret") }
            let status = try self.ask(supervisor, "supervisor.status")
            #expect(status["result"] != nil)
            #expect(!status.text.contains("stderr_tail"))
            #expect(!status.text.contains("the secret"), "also not in a reason")
        }

        @Test func doNotSeeWhyAWorkerCannotStart() throws {
            let directory = try TestDirectory()
            chmod(directory.path, 0o755)
            let supervisor = try SupervisorProcess(
                fixture: ["--exit", "3", "--stderr", "the secret"],
                settings: "socket: { mode: \"0666\" }, restart: { backoff_initial: \"10ms\", max_deaths: 2 }",
                in: directory, waits: false)
            try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            #expect(try supervisor.status().text.contains("the secret"))
            let status = try self.ask(supervisor, "supervisor.status")
            #expect(!status.text.contains("the secret"))
            #expect(
                status[path: "result.reasons.0"].stringValue?.contains("code 3") == true,
                Comment(rawValue: status.text))
        }

        @Test func doNotSeeCommandLines() throws {
            let directory = try TestDirectory()
            chmod(directory.path, 0o755)
            let supervisor = try SupervisorProcess(
                worker: ["/nowhere/hidden-program", "--token=x"],
                settings: "socket: { mode: \"0666\" }, restart: { backoff_initial: \"10ms\", max_deaths: 2 }",
                in: directory, waits: false)
            try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            #expect(try supervisor.status().text.contains("hidden-program"))
            for method in ["supervisor.status", "echo"] {
                let answer = try self.ask(supervisor, method)
                #expect(!answer.text.contains("hidden-program"), Comment(rawValue: answer.text))
                #expect(!answer.text.contains("token"), Comment(rawValue: answer.text))
            }
        }

        @Test func cannotUseASocketOfItsUserOnly() throws {
            let directory = try TestDirectory()
            chmod(directory.path, 0o755)
            let supervisor = try SupervisorProcess(in: directory)
            #expect(throws: Failure.self) { try self.ask(supervisor, "ping") }
        }
    }
}
