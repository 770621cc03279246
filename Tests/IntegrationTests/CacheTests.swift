import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The cache of responses, with real workers.
    @Suite(.timeLimit(.minutes(1)))
    struct Caches {
        private static let perClient = 125

        private func serve(_ cache: String = "") throws -> SupervisorProcess {
            try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "4", "--log", "DIR/received"], language: .swift,
                settings: "cache: { cacheable_methods: [\"sleep\", \"echo\"], \(cache) }")
        }

        /// Lines with that method that workers have received.
        private func received(_ method: String, _ supervisor: SupervisorProcess) -> Int {
            Files.lines(supervisor.directory.file("received")).count { $0.contains("\"\(method)\"") }
        }

        /// A thousand equal calls from eight connections, and their answers.
        private func askAThousandTimes(
            _ supervisor: SupervisorProcess, meanwhile: () throws -> Void
        ) throws -> [JSONValue] {
            let clients = try (0..<8).map { _ in try supervisor.client() }
            for _ in 0..<Self.perClient {
                for client in clients { try client.start("sleep", #"{"ms":700,"nonce":1}"#, metadata: "{}") }
            }
            try meanwhile()
            return try clients.flatMap { try $0.receiveAll(Self.perClient).values }
        }

        @Test("P14: a thousand equal calls are one call to a worker")
        func sharesOneCall() throws {
            let supervisor = try self.serve()
            let answers = try self.askAThousandTimes(supervisor) {}
            #expect(answers.allSatisfy { $0[path: "result.nonce"] == 1 })
            #expect(self.received("sleep", supervisor) == 1)
            let words = answers.compactMap { $0[path: "metadata.cache"].stringValue }
            #expect(words.count { $0 == "miss" } == 1)
            #expect(words.allSatisfy { ["miss", "coalesced", "hit"].contains($0) })
        }

        @Test("P14: and two when its worker dies")
        func sharesASecondCallAfterADeath() throws {
            let supervisor = try self.serve()
            let answers = try self.askAThousandTimes(supervisor) {
                try eventually("a worker has the call") { self.received("sleep", supervisor) == 1 }
                let workers = try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []
                let busy = workers.first { $0["in_flight"]?.integerValue ?? 0 > 0 }
                let pid = try #require(busy?["pid"]?.integerValue)
                kill(pid_t(pid), SIGKILL)
            }
            let results = answers.count { $0[path: "result.nonce"] == 1 }
            #expect(results == answers.count)
            #expect(self.received("sleep", supervisor) == 2)
        }

        @Test func answersTheSameQuestionHoweverItIsSpelled() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            let first = try client.ask(
                #"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"a":1,"b":[1.5,"x"]},"metadata":{}}"#)
            #expect(first[path: "metadata.cache"] == "miss")
            let second = try client.ask(
                #"{"params" : { "b":[15e-1,"\u0078"],"a": 1.0 },"metadata":{},"method":"echo","id":"two","jsonrpc":"2.0"}"#
            )
            #expect(second[path: "metadata.cache"] == "hit" && second["id"] == "two")
            #expect(second["result"] == first["result"])
            #expect(self.received("echo", supervisor) == 1)
            let figures = try supervisor.status()[path: "cache.response"]
            #expect(figures["hits"] == 1 && figures["misses"] == 1 && figures["entries"] == 1)
        }

        @Test func showsItsFiguresOnTheCommandLine() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            for _ in 0..<4 { _ = try client.call("echo", "[1]") }
            let text = try supervisor.command(["cache", "stats"])
            #expect(text.exitCode == 0 && text.errors == "")
            for words in ["EMBEDDING", "RESPONSE", "1 of 10000, 0.0 %", "hit ratio", "75.0 %"] {
                #expect(text.output.contains(words), "\(text.output)")
            }
            let json = try supervisor.command(["cache", "stats", "--json"])
            let figures = try JSONValue(parsing: json.output)
            #expect(figures == (try supervisor.status())["cache"])
            let one = try supervisor.command(["cache", "stats", "response"])
            #expect(one.output.contains("RESPONSE") && !one.output.contains("EMBEDDING"))
        }

        @Test func isClearedOnTheCommandLine() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            for number in 0..<3 { _ = try client.call("echo", "[\(number)]") }
            let others = try supervisor.command(["cache", "clear", "embedding"])
            #expect(others.exitCode == 0 && others.output == "embedding: 0 entries cleared\n")
            let responses = try supervisor.command(["cache", "clear", "response"])
            #expect(responses.exitCode == 0 && responses.output == "response: 3 entries cleared\n")
            _ = try client.call("echo", "[1]")
            let all = try supervisor.command(["cache", "clear", "--json"])
            #expect(try JSONValue(parsing: all.output)[path: "cleared.response"] == 1)
            #expect(self.received("echo", supervisor) == 4)
        }

        @Test func refusesWhatTheCommandLineDoesNotKnow() throws {
            for (arguments, message) in [
                (
                    ["clear", "respnse"],
                    "TYPE: expected embedding, response, pipeline or all, found respnse; did you mean response?"
                ),
                (["clean"], "ACTION: expected stats or clear, found clean; did you mean clear?"),
                (["stats", "x"], "TYPE: expected embedding, response, pipeline or all, found x"),
            ] {
                let run = try Command.run([Programs.supervisor, "cache"] + arguments)
                #expect(run.exitCode == 2 && run.output == "")
                #expect(run.errors == "supervisor: \(message)\n")
            }
            let absent = try Command.run([
                Programs.supervisor, "cache", "stats", "--socket", "/nonexistent/s",
            ])
            #expect(absent.exitCode == 3)
        }

        @Test func isClearedByAnOperator() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            for _ in 0..<2 { _ = try client.call("echo", "[1]") }
            #expect(self.received("echo", supervisor) == 1)
            #expect(try client.call("cache.clear")[path: "result.cleared.response"] == 1)
            _ = try client.call("echo", "[1]")
            #expect(self.received("echo", supervisor) == 2)
            #expect(!supervisor.records("cache.cleared").isEmpty)
        }

        @Test func cachesWhatOurWorkerDeclares() throws {
            let directory = try TestDirectory()
            try directory.write("# Backups\n\nA backup is kept for thirty days.\n", to: "docs/backup.md")
            let supervisor = try SupervisorProcess(
                workers: 2, worker: ["worker", "--index", ".supervisor/index"],
                pool: #"prepare: ["worker", "index", "--out", ".supervisor/index", "docs"]"#, in: directory)
            let client = try supervisor.client()
            let call = #"{"technique":"bm25","query":"How long is a backup kept?"}"#
            let words = try (0..<2).map { _ in
                try client.call("rag.execute", call, metadata: "{}")[path: "metadata.cache"]
            }
            #expect(words == ["miss", "hit"])
        }
    }
}
