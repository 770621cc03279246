import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The product as it is shipped: the supervisor with our worker over a directory of documents.
    @Suite(.timeLimit(.minutes(1)))
    struct EndToEnd {
        private static let documents = [
            "docs/backup.md": """
            # Backups

            The nightly backup copies every database to the vault at two in the morning. A backup is kept
            for thirty days. Restoring a backup needs the vault key, which the operators hold.

            """,
            "docs/network.txt": """
            The firewall closes every port but 443. Packets from the office network pass through the gateway,
            which counts them. The gateway is restarted on the first Sunday of a month.

            """,
            "docs/kitchen.md": """
            # Kitchen

            The coffee machine is cleaned on Fridays. Whoever takes the last cup makes the next pot.

            """,
        ]

        private func serve(_ directory: TestDirectory) throws -> SupervisorProcess {
            for (name, text) in Self.documents { try directory.write(text, to: name) }
            return try SupervisorProcess(
                workers: 2, worker: ["worker", "--index", ".supervisor/index"],
                pool: #"prepare: ["worker", "index", "--out", ".supervisor/index", "docs"]"#, in: directory)
        }

        @Test(arguments: ["bm25", "hybrid"])
        func answersWithQuotesThatStandInTheFiles(technique: String) throws {
            let supervisor = try self.serve(try TestDirectory())
            let run = try supervisor.command([
                "call", "rag.execute", #"{"technique":"\#(technique)","query":"How long is a backup kept?"}"#,
            ])
            #expect(run.exitCode == 0, Comment(rawValue: run.errors))
            let result = try JSONValue(parsing: run.output)
            #expect(result["success"] == true)
            #expect(result["answer"]?.stringValue?.contains("thirty days") == true)
            let citations = try #require(result["citations"]?.arrayValue)
            #expect(!citations.isEmpty)
            for citation in citations {
                let source = try #require(citation["source"]?.stringValue)
                let bytes = Files.bytes(supervisor.directory.file(source))
                let start = Int(try #require(citation[path: "span.start"].integerValue))
                let end = Int(try #require(citation[path: "span.end"].integerValue))
                #expect(start < end && end <= bytes.count)
                guard start < end, end <= bytes.count else { continue }
                #expect(String(decoding: bytes[start..<end], as: UTF8.self) == citation["quote"]?.stringValue)
            }
            #expect(citations[0]["source"] == "docs/backup.md")
            let status = try supervisor.command(["status"])
            #expect(status.exitCode == 0 && status.output.contains("HEALTHY"))
        }

        @Test func passesTheWorkersJudgementOn() throws {
            let supervisor = try self.serve(try TestDirectory())
            let client = try supervisor.client()
            let missing = try client.call("rag.execute", "{}")
            #expect(missing.errorCode == -32602)
            #expect(missing[path: "error.message"] == "Missing required parameters: technique and query")
            let unknown = try client.call("rag.execute", #"{"technique":"bm52","query":"x"}"#)
            #expect(unknown.errorCode == 1001 && unknown.errorReason == "no_worker_for_technique")
            #expect(unknown[path: "error.message"].stringValue?.contains("bm25") == true)
            let option = try client.call(
                "rag.execute", #"{"technique":"bm25","query":"x","options":{"topk":3}}"#)
            #expect(option.errorCode == -32602 && option.text.contains("options.topk"))
        }

        @Test func survivesItsWorkersBeingKilled() throws {
            let supervisor = try self.serve(try TestDirectory())
            let client = try supervisor.client()
            for round in 0..<6 {
                // A worker that has answered nothing yet would count as one that cannot start.
                for _ in 0..<2 {
                    let answer = try client.call(
                        "rag.execute", #"{"technique":"bm25","query":"coffee \#(round)"}"#)
                    #expect(answer[path: "result.success"] == true, Comment(rawValue: answer.text))
                }
                kill(try #require(try supervisor.workerPIDs().first), SIGKILL)
                let answer = try client.call(
                    "rag.execute", #"{"technique":"bm25","query":"backup \#(round)"}"#)
                #expect(answer[path: "result.success"] == true, Comment(rawValue: answer.text))
                try supervisor.waitUntilReady(2)
            }
            // The last death may not have been seen yet when both were still taken for ready.
            try eventually("it is healthy") { try supervisor.status()["status"] == "healthy" }
        }

        @Test func names5001WithThePathWhenTheIndexIsMissingOrCorrupt() throws {
            let directory = try TestDirectory()
            let supervisor = try SupervisorProcess(worker: ["worker", "--index", "no/index"], in: directory)
            let call = #"{"technique":"bm25","query":"anything"}"#
            let missing = try supervisor.client().call("rag.execute", call)
            #expect(missing.errorCode == 5001, Comment(rawValue: missing.text))
            #expect(missing.text.contains("no/index") && missing.text.contains("worker index"))

            let full = try self.serve(try TestDirectory())
            _ = try full.command(["stop", "--wait"])
            let index = full.directory.file(".supervisor/index")
            for name in try FileManager.default.subpathsOfDirectory(atPath: index) {
                let path = "\(index)/\(name)"
                let bytes = Files.bytes(path)
                if bytes.count > 200 {
                    try full.directory.write(Array(bytes.prefix(150)), to: ".supervisor/index/\(name)")
                }
            }
            let corrupt = try SupervisorProcess(worker: ["worker", "--index", index])
            let answer = try corrupt.client().call("rag.execute", call)
            #expect(answer.errorCode == 5001, Comment(rawValue: answer.text))
            #expect(answer.text.contains(index) && answer.text.contains("worker index"))
            #expect(try corrupt.client().call("health.check")[path: "result.status"] == "degraded")
        }

        @Test func servesTheShippedEchoWorker() throws {
            guard let python = Programs.python else { return }
            let path =
                #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(
                    separator: "/")
                + "/config/workers/echo_worker.py"
            let supervisor = try SupervisorProcess(workers: 2, worker: [python, path])
            #expect(try supervisor.client().call("add", "[1,2,3]")["result"] == 6)
        }
    }
}
