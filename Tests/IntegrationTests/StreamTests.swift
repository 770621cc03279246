import Foundation
import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Answers in chunks, from a worker to a client, and on the command line.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Streams {
        private static func kinds(_ messages: [JSONValue]) -> [String] {
            messages.compactMap { $0[path: "params.chunk_type"].stringValue }
        }

        @Test(arguments: [Client.Framing.lines, .contentLength])
        func reachAClientAsTheyCome(framing: Client.Framing) throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8"])
            let client = try supervisor.client(framing)
            let id = try client.start("rag.stream", #"{"action":"stream","chunks":3,"ms":100,"nonce":"n"}"#)
            let watch = Stopwatch()
            let first = try client.receiveJSON()
            #expect(watch.seconds < 0.29, "the answer takes 300 ms")
            #expect(first[path: "params.request_id"].stringValue == "\(id)")
            #expect(first[path: "params.data"] == ["nonce": "n", "n": 0, "pad": ""])
            let rest = try (0..<4).map { _ in try client.receiveJSON() }
            #expect(rest[2][path: "params.is_final"] == true && rest[2][path: "params.data.reason"] == "done")
            #expect(rest[3]["result"]?["nonce"] == "n")
        }

        @Test func endWithTheSupervisor() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--concurrency", "8", "--cancel", "honour"],
                settings: "timeouts: { shutdown_grace: \"300ms\" }")
            let client = try supervisor.client()
            try client.start("rag.stream", #"{"action":"stream","chunks":3,"ms":50,"nonce":1}"#)
            try client.start("rag.stream", #"{"action":"stream","chunks":100000,"ms":50,"nonce":2}"#)
            _ = try client.receiveJSON()
            supervisor.process.signal(SIGTERM)
            var messages: [JSONValue] = []
            while let bytes = try client.receiveOrEnd() { messages.append(try JSONValue(parsing: bytes)) }
            let finals = messages.filter { $0[path: "params.is_final"] == true }
            #expect(finals.map { $0[path: "params.data.reason"] } == ["done", "shutting_down"])
            #expect(messages.last?.errorReason == "shutting_down")
            #expect(try supervisor.process.exit() == .exited(code: 0))
        }

        @Test func areTheAnswerOfOurWorkerInParts() throws {
            let directory = try TestDirectory()
            try directory.write("The red fox jumps over the brook. A dog sleeps.", to: "docs/a.txt")
            try directory.write("A fox that is red lives in the wood.", to: "docs/b.txt")
            let index = directory.file("index")
            let made = try Command.run(
                [Programs.worker, "index", "--out", index, directory.file("docs")])
            try #require(made.exitCode == 0, "\(made.errors)")
            let supervisor = try SupervisorProcess(worker: [Programs.worker, "--index", index])
            let params = #"{"technique":"bm25","query":"red fox"}"#
            let client = try supervisor.client()
            try client.start("rag.stream", params)
            var messages: [JSONValue] = []
            while messages.last?["method"] != nil || messages.isEmpty {
                messages.append(try client.receiveJSON())
            }
            let answer = try #require(messages.last?[path: "result.answer"].stringValue)
            let text = messages.filter { $0[path: "params.chunk_type"] == "partial_answer" }
                .compactMap { $0[path: "params.data"].stringValue }.joined()
            #expect(text == answer)
            #expect(try client.call("rag.execute", params)[path: "result.answer"].stringValue == answer)

            let run = try supervisor.command(["stream", "rag.stream", params])
            #expect(run.exitCode == 0 && run.output == answer + "\n")
            let lines = run.errors.split(separator: "\n")
            #expect(lines.count == 3)
            #expect(lines[0].hasPrefix("document {\"id\":") && lines[2].hasPrefix("metadata {\"citations\":"))
        }

        // MARK: supervisor stream

        @Test func areShownByTheCommand() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8"])
            let raw = try supervisor.command([
                "stream", "rag.stream", #"{"action":"stream","chunks":2}"#, "--raw", "--metadata",
                #"{"request_id":"mine"}"#, "--timeout", "5s",
            ])
            let messages = try raw.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            #expect(raw.exitCode == 0 && raw.errors == "" && messages.count == 4)
            #expect(Self.kinds(messages) == ["partial_answer", "partial_answer", "metadata"])
            #expect(messages[0][path: "params.request_id"] == "mine" && messages[3]["result"] != nil)
            let whole = try supervisor.command(["stream", "echo", #"{"a": [1.50]}"#])
            #expect(whole.exitCode == 0 && whole.errors == "")
            #expect(try JSONValue(parsing: whole.output) == ["a": [1.5]])
        }

        @Test func failByTheCommandsExitCode() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8"])
            let refused = try supervisor.command(["stream", "no_such_method"])
            #expect(refused.exitCode == 4 && refused.errors.contains("Method not found: no_such_method"))
            let long = #"{"action":"stream","chunks":1000,"ms":20}"#
            let late = try supervisor.command(["stream", "rag.stream", long, "--timeout", "200ms", "--raw"])
            #expect(late.exitCode == 4 && late.output.hasSuffix("\"is_final\":true}}\n"))
            #expect(try JSONValue(parsing: late.errors).errorCode == 1002)
            for wrong in [["stream"], ["stream", "echo", "7"], ["stream", "echo", "--timeout", "soon"]] {
                let run = try supervisor.command(wrong)
                #expect(run.exitCode == 2 && run.output == "" && run.errors != "", "\(wrong)")
            }
            let none = try Command.run(
                [Programs.supervisor, "stream", "ping", "--socket", supervisor.directory.file("none")])
            #expect(none.exitCode == 3)
        }

        @Test func areCancelledByAnInterrupt() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8", "--cancel", "honour"])
            let command = try ChildProcess([
                Programs.supervisor, "stream", "rag.stream", #"{"action":"stream","chunks":10000,"ms":20}"#,
                "--socket", supervisor.socket,
            ])
            try eventually("the stream has begun") { command.errors.contains("partial_answer") }
            command.signal(SIGINT)
            #expect(try command.exit() == .exited(code: 4))
            #expect(command.errors.contains("metadata {\"reason\":\"cancelled\"}"))
            #expect(command.errors.contains("Request cancelled (-32800, cancelled)"))
            try supervisor.waitForWorker("nothing is in flight") { $0["in_flight"] == 0 }
        }
    }
}
