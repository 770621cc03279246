import Foundation
import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The cache of embeddings, and epochs, with real workers.
    @Suite(.timeLimit(.minutes(1)))
    struct Embeddings {
        /// Makes vectors of a text's length and its sum, notes how many it was asked for, answers `rag.execute` with the
        /// epoch that it has taken from a file, and takes a new one a while after the file has changed.
        private static let worker = #"""
            import json, sys, threading, time
            lag, folder = float(sys.argv[1]), sys.argv[2]
            lock = threading.Lock()
            state = {"epoch": open(folder + "/epoch").read()}
            def write(message):
                with lock:
                    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                    sys.stdout.flush()
            def watch():
                while True:
                    time.sleep(0.01)
                    now = open(folder + "/epoch").read()
                    if now and now != state["epoch"]:
                        time.sleep(lag)
                        state["epoch"] = now
                        write({"method": "worker.capabilities", "params": {"cache_epoch": now}})
            threading.Thread(target=watch, daemon=True).start()
            for line in sys.stdin:
                call = json.loads(line)
                if call.get("id") is None:
                    continue
                params, result = call.get("params") or {}, None
                if call["method"] == "health.check":
                    result = {"status": "healthy", "capabilities": {
                        "cacheable": ["rag.execute"], "cache_epoch": state["epoch"], "max_concurrency": 4}}
                elif call["method"] == "embedding.create":
                    with open(folder + "/asked", "a") as file:
                        file.write(str(len(params["input"])) + "\n")
                    result = {"model": "toy", "embeddings": [[len(t) / 3, sum(t.encode()) / 7] for t in params["input"]]}
                elif call["method"] == "rag.execute":
                    result = {"epoch": state["epoch"]}
                else:
                    write({"id": call["id"], "error": {"code": -32601, "message": "Method not found"}})
                    continue
                write({"id": call["id"], "result": result})
            """#

        private func serve(in directory: TestDirectory? = nil, settings: String = "") throws
            -> SupervisorProcess
        {
            let directory = try directory ?? TestDirectory()
            try directory.write(Self.worker, to: "worker.py")
            if !FileManager.default.fileExists(atPath: directory.file("epoch")) {
                try directory.write("one", to: "epoch")
            }
            // The second worker notices a new epoch later than the first.
            return try SupervisorProcess(
                workers: 2,
                worker: [
                    "sh", "-c",
                    "mkdir \"$0/first\" 2>/dev/null && lag=0.05 || lag=0.4; exec python3 \"$0/worker.py\" $lag \"$0\"",
                    directory.path,
                ],
                settings: settings, in: directory)
        }

        private func texts(_ range: Range<Int>) -> [String] { range.map { "text number \($0)" } }

        private func embed(_ client: Client, _ texts: [String]) throws -> JSONValue {
            let input = JSONValue.array(texts.map { .string($0) }).text
            let answer = try client.call("embedding.create", #"{"input":\#(input)}"#, metadata: "{}")
            let vectors = answer[path: "result.embeddings"].arrayValue ?? []
            #expect(vectors.count == texts.count, "\(answer.text.prefix(200))")
            for (text, vector) in zip(texts, vectors) {
                #expect(
                    vector.arrayValue?.first?.doubleValue == Double("\(Float(Double(text.utf8.count) / 3))"))
            }
            return answer
        }

        private func asked(_ directory: TestDirectory) -> [String] { Files.lines(directory.file("asked")) }

        @Test func ofAHundredTextsFiftyAreAskedForAndARestartKeepsThem() throws {
            let directory = try TestDirectory()
            let settings = "cache: { embedding_cache_file: \"\(directory.file("embeddings"))\" }"
            let known = self.texts(0..<40)
            let new = self.texts(40..<90)
            let all = (known + new + new.prefix(10)).shuffled()
            do {
                let supervisor = try self.serve(in: directory, settings: settings)
                let client = try supervisor.client()
                #expect(try self.embed(client, known)[path: "metadata.cache"] == "miss")
                #expect(try self.embed(client, all)[path: "metadata.cache"] == "miss")
                #expect(self.asked(directory) == ["40", "50"])
                #expect(try self.embed(client, all)[path: "metadata.cache"] == "hit")
                #expect(try supervisor.command(["stop", "--wait"]).exitCode == 0)
            }
            let again = try self.serve(in: directory, settings: settings)
            #expect(try self.embed(try again.client(), all)[path: "metadata.cache"] == "hit")
            #expect(self.asked(directory) == ["40", "50"])
            #expect(try again.status()[path: "cache.embedding.entries"] == 90)
        }

        @Test func aDamagedFileIsSetAsideWithAWarning() throws {
            let directory = try TestDirectory()
            try directory.write("EMBCACHE, but not really", to: "embeddings")
            let supervisor = try self.serve(
                in: directory,
                settings: "cache: { embedding_cache_file: \"\(directory.file("embeddings"))\" }")
            #expect(supervisor.records("cache.file_refused").count == 1)
            #expect(FileManager.default.fileExists(atPath: directory.file("embeddings.damaged")))
            #expect(try self.embed(try supervisor.client(), ["a"])[path: "metadata.cache"] == "miss")
        }

        @Test("P14: a new index under load, which two workers notice at different moments")
        func noAnswerOfAnOldEpochIsServedFromTheCache() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            var hits: [String] = []
            var isNew = false
            let end = Date().addingTimeInterval(1.2)
            var round = 0
            while Date() < end {
                if round == 2000 || (round > 0 && !isNew && Date() > end.addingTimeInterval(-0.9)) {
                    try supervisor.directory.write("two", to: "epoch")
                    isNew = true
                }
                let answer = try client.call(
                    "rag.execute", #"{"technique":"t","query":"\#(round % 20)"}"#, metadata: "{}")
                let epoch = try #require(answer[path: "result.epoch"].stringValue, "\(answer.text)")
                if answer[path: "metadata.cache"] == "hit" { hits.append(epoch) }
                round += 1
            }
            #expect(isNew)
            let firstNew = try #require(hits.firstIndex(of: "two"), "\(hits.count) hits")
            #expect(hits[..<firstNew].contains("one"))
            #expect(hits[firstNew...].allSatisfy { $0 == "two" })
        }
    }
}
