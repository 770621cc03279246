import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    @Suite(
        "§7 Command line", .timeLimit(.minutes(1)),
        .sharing { try SupervisorProcess(fixture: ["--concurrency", "4"], language: .swift) })
    struct CommandClauses {
        private static let commands = [
            ["status"], ["status", "--json"], ["status", "--watch"], ["call", "ping"], ["stream", "ping"],
            ["restart"],
            ["restart", "0", "--wait"], ["restart", "--rolling"], ["drain", "0"], ["scale", "2"], ["reload"],
            ["reload", "--wait"], ["stop"], ["stop", "--wait"], ["cache", "stats"],
            ["cache", "clear", "all"], ["events"],
            ["events", "worker.*"],
        ]

        @Test("3: not running (no socket, nothing listens), with what was tried", arguments: Self.commands)
        func notRunning(command: [String]) throws {
            let supervisor = try SharedSupervisor.current
            let path = supervisor.directory.file("none")
            let run = try Command.run([Programs.supervisor] + command + ["--socket", path])
            #expect(run.exitCode == 3 && run.output == "" && run.errors.contains(path), "\(run.errors)")
        }

        private static let misused = [
            [], ["no-such-command"], ["call"], ["call", "ping", "7"], ["call", "ping", "{"], ["stream"],
            ["drain"],
            ["call", "ping", "--metadata", "7"], ["call", "ping", "--timeout", "0"], ["status", "--no-such"],
            ["status", "word"], ["restart", "0", "--rolling"], ["restart", "0", "1"], ["scale"],
            ["scale", "many"],
            ["scale", "0"], ["cache"], ["cache", "sweep"], ["cache", "clear", "no-such"], ["config"],
            ["config", "list"],
            ["config", "validate", "/no/such/file"], ["check"], ["help", "no-such"], ["version", "word"],
            ["serve", "word"], ["serve", "--config", "/no/such/file"], ["serve", "--strategy", "random"],
        ]

        @Test("2: usage or configuration", arguments: Self.misused)
        func usage(command: [String]) throws {
            let run = try Command.run([Programs.supervisor] + command)
            #expect(
                run.exitCode == 2 && run.output == "" && run.errors.hasPrefix("supervisor: "), "\(run.errors)"
            )
        }

        private static let refused: [(command: [String], code: Int32)] = [
            (["call", "no_such_method"], 4), (["call", "supervisor.nothing", "--raw"], 4),
            (["call", "ping", "--metadata", #"{"priority":"x"}"#], 4), (["stream", "no_such_method"], 4),
            (["restart", "no-such-worker"], 1), (["drain", "no-such-worker"], 1),
            (["scale", "2", "--pool", "no-such"], 1), (["events", "no.such.topic"], 1),
        ]

        @Test("4: answered with an error (call and stream only; other commands then exit 1)")
        func answeredWithAnError() throws {
            let supervisor = try SharedSupervisor.current
            for (command, code) in Self.refused {
                let run = try supervisor.command(command)
                #expect(
                    run.exitCode == code && run.output == "" && run.errors != "", "\(command): \(run.errors)")
                if command.contains("--raw") { #expect(try JSONValue(parsing: run.errors)["error"] != nil) }
            }
        }

        @Test("0: done; results go to stdout, everything else to stderr")
        func done() throws {
            let supervisor = try SharedSupervisor.current
            for command in [
                ["status"], ["status", "--json"], ["call", "ping"], ["call", "echo", "[1]", "--raw"],
                ["stream", "echo", "{}"], ["cache", "stats"], ["cache", "stats", "--json"],
                ["cache", "clear"],
                ["cache", "clear", "embedding", "--json"], ["scale", "1"],
            ] {
                let run = try supervisor.command(command)
                #expect(
                    run.exitCode == 0 && run.output != "" && run.errors == "", "\(command): \(run.errors)")
                guard command.contains("--json") || command.contains("--raw") else { continue }
                #expect(throws: Never.self, "\(command)") { try JSONValue(parsing: run.output) }
            }
            for command in [
                ["help"], ["version"], ["config", "show"], ["config", "validate"], ["serve", "--help"],
            ] {
                let run = try Command.run([Programs.supervisor] + command)
                #expect(
                    run.exitCode == 0 && run.output != "" && run.errors == "", "\(command): \(run.errors)")
            }
        }

        @Test("without --socket they try $SUPERVISOR_SOCKET; --socket stands above it")
        func socketOfTheEnvironment() throws {
            let supervisor = try SharedSupervisor.current
            func status(_ socket: String, _ arguments: [String] = []) throws -> Command {
                try Command.run(
                    [Programs.supervisor, "status", "--json"] + arguments,
                    environment: ChildProcess.environment.merging(["SUPERVISOR_SOCKET": socket]) { $1 })
            }
            let run = try status(supervisor.socket)
            #expect(run.exitCode == 0)
            #expect(try JSONValue(parsing: run.output)["pid"] == .integer(supervisor.pid))
            let none = supervisor.directory.file("none")
            #expect(try status(none).exitCode == 3)
            #expect(try status(none, ["--socket", supervisor.socket]).exitCode == 0)
            #expect(try status(supervisor.socket, ["--socket", none]).exitCode == 3)
        }

        @Test(
            "they check by SO_PEERCRED that the server is root, themselves or the owner of the directory",
            .needsPython, .enabled(if: getuid() == 0, "only root can become another user"))
        func foreignServer() throws {
            let directory = try TestDirectory()
            chmod(directory.path, 0o777)
            let script = """
                import os, socket, sys
                os.setgid(65534); os.setuid(65534)
                server = socket.socket(socket.AF_UNIX)
                server.bind(sys.argv[1])
                server.listen()
                while True:
                    connection, _ = server.accept()
                    print(connection.recv(1000), flush=True)
                    connection.close()
                """
            let path = directory.file("s")
            let server = try ChildProcess([Programs.python ?? "", "-c", script, path])
            try eventually("it listens") { (try? UnixSocket.connect(to: path)) != nil }
            let run = try Command.run([Programs.supervisor, "call", "ping", "--socket", path])
            #expect(run.exitCode == 1 && run.errors.contains("user 65534"), "\(run.errors)")
            #expect(!server.output.contains("ping"), "it is told nothing")
        }

        @Test("status --json prints the result of supervisor.status")
        func statusAsJSON() throws {
            let supervisor = try SharedSupervisor.current
            let shown = try JSONValue(parsing: supervisor.command(["status", "--json"]).output)
            let told = try supervisor.status()
            #expect(shown.objectValue?.map(\.name) == told.objectValue?.map(\.name))
            #expect(shown[path: "pools.0.workers.0.worker_id"] == told[path: "pools.0.workers.0.worker_id"])
        }

        @Test("WORKER is an id, a unique prefix of one, a pid or a slot number")
        func workerNames() throws {
            let supervisor = try SharedSupervisor.current
            let names: [(JSONValue) throws -> String?] = [
                { $0["worker_id"]?.stringValue },
                { ($0["worker_id"]?.stringValue).map { String($0.dropLast(3)) } },
                { $0["pid"]?.text }, { _ in "0" }, { _ in "worker_" },
            ]
            for name in names {
                let run = try supervisor.command(["drain", try #require(try name(supervisor.worker()))])
                #expect(run.exitCode == 0, "\(run.errors)")
                #expect(try supervisor.worker()["state"] == "draining")
                let restart = try supervisor.command(["restart", "0", "--wait"])
                #expect(restart.exitCode == 0, "\(restart.errors)")
            }
        }
    }
}
