import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    /// Asked by a user who is neither root nor the supervisor's own. Only root can become one.
    @Suite(
        "§3 Operators only", .timeLimit(.minutes(1)), .needsPython,
        .enabled(if: getuid() == 0, "only root can become another user"),
        .sharing { try SupervisorProcess.forEverybody() })
    struct OperatorClauses {
        private static let stranger: UInt32 = 65534

        /// One call after another, on one connection.
        private static let script = """
            import os, socket, sys
            os.setgid(\(stranger)); os.setuid(\(stranger))
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(sys.argv[1])
            answers = connection.makefile()
            for call in sys.stdin:
                connection.sendall(call.encode())
                print(answers.readline(), end="")
            """

        private func ask(_ calls: [(method: String, params: String)]) throws -> [JSONValue] {
            let supervisor = try SharedSupervisor.current
            let lines = calls.map {
                #"{"jsonrpc":"2.0","id":1,"method":"\#($0.method)","params":\#($0.params)}"# + "\n"
            }
            let run = try Command.run(
                [Programs.python ?? "", "-c", Self.script, supervisor.socket], input: lines.joined())
            guard run.exitCode == 0 else { throw Failure(run.errors) }
            return try run.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        }

        private static let refused: [(method: String, params: String)] = [
            ("supervisor.restart", "{}"), ("supervisor.drain", #"{"worker":0}"#),
            ("supervisor.scale", #"{"workers":3}"#), ("supervisor.reload", "{}"), ("supervisor.stop", "{}"),
            ("supervisor.explain", #"{"method":"echo"}"#),
            ("config.update", #"{"timeouts":{"default":"1ms"}}"#),
            ("config.reload", "{}"), ("cache.clear", "{}"), ("pipeline.initialize", #"{"technique":"a"}"#),
            ("pipeline.destroy", #"{"pipeline_id":"a_00000000"}"#), ("metrics.get", #"{"reset":true}"#),
            ("metrics.get", #"{"scope":"pool","reset":true}"#), ("events.subscribe", #"{"topics":["log"]}"#),
            ("events.subscribe", #"{"topics":["config.*"]}"#),
            ("events.subscribe", #"{"topics":["config.changed"]}"#),
            ("events.subscribe", #"{"topics":["worker.*","config.rejected"]}"#),
        ]

        @Test("Others get −32001, logged with the peer")
        func othersAreRefused() throws {
            let supervisor = try SharedSupervisor.current
            let answers = try self.ask(Self.refused)
            try #require(answers.count == Self.refused.count)
            for (call, answer) in zip(Self.refused, answers) {
                let name = Comment(rawValue: "\(call.method) \(call.params)")
                #expect(answer.errorCode == -32001 && answer.errorReason == "operators_only", name)
                #expect(answer[path: "error.data.retryable"] == false, name)
            }
            try eventually("each is logged") {
                supervisor.records("operator.refused").count == Self.refused.count
            }
            let records = supervisor.records("operator.refused")
            #expect(records.allSatisfy { $0["peer_uid"] == .integer(Self.stranger) && $0["peer_pid"] != nil })
            #expect(try supervisor.worker(1) == .null, "nothing of it was done")
        }

        private static let answered: [(method: String, params: String)] = [
            ("rag.execute", #"{"query":"q"}"#), ("echo", "[1]"), ("health.check", "{}"),
            ("metrics.get", "{}"),
            ("metrics.get", #"{"scope":"pool","reset":false}"#), ("health.detailed", "{}"),
            ("pipeline.list", "{}"), ("config.validate", "{}"), ("system.info", "{}"), ("ping", "{}"),
            ("rpc.discover", "{}"), ("supervisor.status", "{}"), ("events.unsubscribe", "{}"),
            ("events.subscribe", #"{"topics":["worker.*","pool.*","cache.*","events.dropped","*"]}"#),
        ]

        @Test("Everything else is everybody's; stderr_tail and command lines are left out")
        func othersAreAnswered() throws {
            let answers = try self.ask(Self.answered)
            try #require(answers.count == Self.answered.count)
            for (call, answer) in zip(Self.answered, answers) {
                #expect(answer["result"] != nil, "\(call.method) \(call.params): \(answer.text.prefix(300))")
                guard call.method != "rpc.discover" else { continue }
                for word in ["stderr_tail", "FixtureWorker", "a worker wrote this"] {
                    #expect(!answer.text.contains(word), "\(call.method) tells \(word)")
                }
            }
        }

        @Test("config.validate by others does not touch the file system")
        func validationIsBlind() throws {
            let paths = ["/etc/shadow", "/no/such/file"]
            let answers = try self.ask(
                paths.map {
                    (
                        "config.validate",
                        #"{"logging":{"file":"\#($0)"},"pools":[{"command":["\#($0)"],"directory":"\#($0)"}]}"#
                    )
                })
            #expect(
                answers.map { $0["result"] }
                    == [JSONValue?](repeating: ["valid": true, "errors": []], count: 2))
        }
    }
}
