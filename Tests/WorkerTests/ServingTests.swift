import Glibc
import Protocol
import Testing

@testable import Worker

/// A server between two pipes, in this process.
struct ServedIndex {
    let directory: TemporaryDirectory
    let out: IndexDirectory

    init(published: Bool = true) throws {
        self.directory = try TemporaryDirectory()
        self.out = IndexDirectory(path: self.directory.file("out"))
        try self.directory.write("The red fox jumps. A dog sleeps.", to: "src/a.txt")
        if published { _ = try self.indexer.run() }
    }

    var indexer: CorpusIndexer {
        CorpusIndexer(paths: [self.directory.file("src")], directory: self.out)
    }

    /// Serves some input to its end and returns the lines that came out.
    func serve(
        _ bytes: [UInt8], slots: Int = 4, waitingLimit: Int = 1_000, service: WorkerService? = nil
    ) async throws -> [JSONValue] {
        let requests = self.directory.file("in")
        let replies = self.directory.file("replies")
        try FileSystem.write([bytes], to: requests)
        try FileSystem.write([], to: replies)
        let output = try FileDescriptor(opening: replies, O_WRONLY | O_APPEND)
        let source = try FileDescriptor(opening: requests, O_RDONLY)
        let service =
            service
            ?? WorkerService(
                workerID: "worker_test", capabilities: WorkerCapabilities(maxConcurrency: slots),
                holder: IndexHolder(directory: self.out))
        let server = StdioServer(
            service: service, output: OutputBuffer(descriptor: output.rawValue) {},
            waitingLimit: waitingLimit, startTask: { startOwnThread($0) })
        let input = source.rawValue
        await onOwnThread { server.run(input: input) }
        extendLifetime(output)
        extendLifetime(source)
        return try FileSystem.contents(of: replies).split(separator: 0x0A).map {
            try JSONValue(parsing: Array($0))
        }
    }

    func serve(_ lines: String...) async throws -> [JSONValue] {
        try await self.serve(Array(lines.joined(separator: "\n").utf8))
    }
}

@Suite struct StdioServerTests {
    static let execute =
        #"{"jsonrpc":"2.0","id":"e","method":"rag.execute","params":{"technique":"bm25","query":"red fox"}}"#

    @Test func answersEveryMethod() async throws {
        let replies = try await ServedIndex().serve(
            #"{"jsonrpc":"2.0","id":"p","method":"ping"}"#,
            #"{"jsonrpc":"2.0","id":1.50,"method":"health.check"}"#,
            #"{"jsonrpc":"2.0","id":null,"method":"metrics.get"}"#, Self.execute)
        #expect(replies.count == 4)
        #expect(replies[0]["result"]?["message"] == "pong")
        #expect(replies[1]["id"] == 1.5)
        #expect(replies[1]["result"]?["status"] == "healthy")
        #expect(replies[2]["result"]?["total_requests"] == 2)
        #expect(replies[3]["result"]?["answer"] == "The red fox jumps. [1]")
    }

    @Test func keepsTheIDByteForByte() async throws {
        let served = try ServedIndex()
        _ = try await served.serve(#"{"jsonrpc":"2.0","id":"\u0061\/","method":"ping"}"#)
        let text = String(
            decoding: try FileSystem.contents(of: served.directory.file("replies")), as: UTF8.self)
        #expect(text.hasPrefix(#"{"jsonrpc":"2.0","id":"\u0061\/","result":"#))
    }

    @Test func goesOnBehindEveryKindOfGarbage() async throws {
        let good = #"{"jsonrpc":"2.0","id":"good","method":"ping"}"#
        let deep = String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
        let cases: [(line: String, code: Int64, reason: String, id: JSONValue)] = [
            ("garbage", -32700, "malformed_json", .null),
            ("{\"id\":1", -32700, "malformed_json", .null),
            ("3", -32600, "not_an_object", .null),
            ("[]", -32600, "empty_batch", .null),
            (#"{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}"#, -32600, "duplicate_member", .null),
            (#"{"jsonrpc":"2.0","id":5,"method":"ping","params":1}"#, -32600, "invalid_params_type", 5),
            (#"{"jsonrpc":"2.0","id":5,"method":"ping","params":\#(deep)}"#, -32600, "too_deep", 5),
            (#"{"jsonrpc":"2.0","id":5,"method":"pings"}"#, -32601, "method_not_found", 5),
            (
                #"{"jsonrpc":"2.0","id":5,"method":"ping","metadata":{"timeout_ms":0}}"#, -32602,
                "invalid_params", 5
            ),
            (
                #"{"jsonrpc":"2.0","id":5,"method":"metrics.get","params":{"scope":"pool"}}"#, -32602,
                "invalid_params", 5
            ),
            (#"{"jsonrpc":"2.0","id":5,"method":"rag.execute"}"#, -32602, "missing_parameters", 5),
        ]
        let served = try ServedIndex()
        for (line, code, reason, id) in cases {
            let replies = try await served.serve(line, "", good)
            #expect(replies.count == 2, "\(line)")
            let error = replies.first { $0["error"] != nil }
            #expect(error?["error"]?["code"]?.integerValue == code, "\(line)")
            #expect(error?["error"]?["data"]?["reason"]?.stringValue == reason, "\(line)")
            #expect(error?["id"] == id, "\(line)")
            #expect(replies.contains { $0["id"] == "good" && $0["result"] != nil }, "\(line)")
        }
    }

    @Test func skipsALineThatIsTooLong() async throws {
        var input = Array(#"{"jsonrpc":"2.0","id":"big","method":"ping","params":{"x":""#.utf8)
        input += [UInt8](repeating: UInt8(ascii: "x"), count: 20 << 20)
        input += Array("\"}}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}".utf8)
        let replies = try await ServedIndex().serve(input)
        #expect(replies.map { $0["id"] } == ["big", 2])
        #expect(replies[0]["error"]?["data"]?["reason"] == "message_too_large")
    }

    @Test func answersABatchInOneLine() async throws {
        let replies = try await ServedIndex().serve(
            #"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"ping"},7,\#(Self.execute)]"#,
            #"[{"jsonrpc":"2.0","method":"ping"}]"#, #"{"jsonrpc":"2.0","method":"rag.execute"}"#)
        #expect(replies.count == 1)
        #expect(Set(replies[0].arrayValue?.map { $0["id"]?.text } ?? []) == ["1", "null", "\"e\""])
    }

    @Test func answersEveryCallOnceHoweverMany() async throws {
        let lines = (0..<300).map {
            #"{"jsonrpc":"2.0","id":\#($0),"method":"rag.execute","params":{"technique":"hybrid","query":"fox"}}"#
        }
        let cancels = (0..<300).map {
            #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#($0)}}"#
        }
        let input = zip(lines, cancels).flatMap { [$0, $1] }.joined(separator: "\n")
        let replies = try await ServedIndex().serve(Array(input.utf8), slots: 2)
        #expect(replies.count == 300)
        #expect(Set(replies.compactMap { $0["id"]?.integerValue }).count == 300)
        #expect(replies.allSatisfy { $0["result"] != nil || $0["error"]?["code"] == -32800 })
    }

    @Test func answersMoreThanItCanHoldAtOnce() async throws {
        let lines = Array(repeating: Self.execute, count: 500).joined(separator: "\n")
        let replies = try await ServedIndex().serve(Array(lines.utf8), slots: 1, waitingLimit: 0)
        #expect(replies.count == 500)
        #expect(replies.allSatisfy { $0["result"] != nil })
    }

    @Test func honoursTheDeadlineAndGivesMetadataBack() async throws {
        let replies = try await ServedIndex().serve(
            #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"bm25","query":"fox"},"metadata":{"request_id":"r1","deadline_ms":0}}"#,
            #"{"jsonrpc":"2.0","id":2,"method":"ping","metadata":{}}"#)
        let late = try #require(replies.first { $0["id"] == 1 })
        #expect(late["error"]?["code"] == 1002)
        #expect(late["error"]?["data"]?["request_id"] == "r1")
        #expect(late["metadata"]?["request_id"] == "r1")
        #expect(replies.first { $0["id"] == 2 }?["metadata"]?["worker_id"] == "worker_test")
    }

    @Test func judgesParamsBeforeTheIndex() async throws {
        let served = try ServedIndex(published: false)
        let replies = try await served.serve(
            #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{}}"#, Self.execute,
            #"{"jsonrpc":"2.0","id":3,"method":"health.check"}"#)
        #expect(replies.first { $0["id"] == 1 }?["error"]?["code"] == -32602)
        let error = try #require(replies.first { $0["id"] == "e" }?["error"])
        #expect(error["code"] == 5001)
        #expect(error["message"]?.stringValue?.contains(served.out.path) == true)
        #expect(error["data"]?["rebuild"]?.stringValue?.hasPrefix("worker index") == true)
        #expect(replies.first { $0["id"] == 3 }?["result"]?["status"] == "degraded")
    }

    private func capabilitiesModel(_ health: JSONValue) -> JSONValue? {
        health["capabilities"]?["embedding_model"]
    }

    @Test func saysThatWhatItDependsOnIsNotThere() async throws {
        let health = try #require(
            try await ServedIndex(published: false).serve(
                #"{"jsonrpc":"2.0","id":3,"method":"health.check"}"#
            ).first?["result"])
        #expect(health["dependencies"]?["index"]?["status"] == "unavailable")
        #expect(health["dependencies"]?["index"]?["error"]?.stringValue?.isEmpty == false)
        #expect(health["dependencies"]?["embedding"]?["status"] == "unavailable")
    }

    @Test func declaresAllThatTheContractNames() async throws {
        let health = try #require(
            try await ServedIndex().serve(#"{"jsonrpc":"2.0","id":3,"method":"health.check"}"#).first?[
                "result"])
        for name in [
            "status", "worker_id", "pid", "uptime_seconds", "request_count", "error_count", "error_rate",
            "active_requests", "memory_usage", "pipelines_loaded",
        ] {
            #expect(health[name] != nil, "\(name)")
        }
        #expect(health["dependencies"]?["index"]?["status"] == "healthy")
        #expect(health["dependencies"]?["embedding"]?["status"] == "healthy")
        #expect(health["dependencies"]?["embedding"]?["model"] == capabilitiesModel(health))
        for name in ["rss_mb", "vms_mb", "percent"] { #expect(health["memory_usage"]?[name] != nil) }
        let capabilities = try #require(health["capabilities"])
        #expect(capabilities["techniques"] == ["bm25", "basic", "hybrid"])
        #expect(capabilities["cacheable"] == ["rag.execute"])
        #expect(capabilities["cancel"] == true && capabilities["streaming"] == true)
        #expect(capabilities["max_concurrency"] == 4)
        #expect(capabilities["cache_epoch"]?.stringValue?.hasPrefix("index-") == true)
    }
}

@Suite struct CapabilitiesTextTests {
    @Test func isMadeAnewForAnotherIndex() throws {
        let served = try ServedIndex()
        let capabilities = WorkerCapabilities(maxConcurrency: 1)
        let text = CapabilitiesText(capabilities)
        var first: SearchIndex? = try served.out.open()
        #expect(text.bytes(for: first) == capabilities.json(first).bytes)
        #expect(text.bytes(for: first) == capabilities.json(first).bytes)
        try served.directory.write("A cat.", to: "src/b.txt")
        _ = try served.indexer.run()
        let second = try served.out.open()
        #expect(text.bytes(for: second) == capabilities.json(second).bytes)
        #expect(text.bytes(for: first) == capabilities.json(first).bytes)
        // Gone, it is not taken for none.
        first = nil
        #expect(text.bytes(for: nil) == capabilities.json(nil).bytes)
    }
}

@Suite struct CallTableTests {
    static func call(_ id: String) -> IncomingCall {
        IncomingCall(
            id: Array(id.utf8), method: "rag.execute", params: [], requestID: "", wantsMetadata: false,
            received: .now, deadline: nil, reply: .line(OutputBuffer(descriptor: -1) {}))
    }

    @Test func startsWhatWaitedInOrder() throws {
        let table = CallTable(slots: 1, waitingLimit: 2)
        guard case .start(let first) = table.admit(Self.call("1")) else {
            Issue.record("the first call must start")
            return
        }
        #expect(table.admit(Self.call("2")) == .waits)
        #expect(table.admit(Self.call("3")) == .waits)
        #expect(table.admit(Self.call("4")) == .full)
        #expect(table.take(first)?.id == Array("1".utf8))
        #expect(table.take(first) == nil)
        let second = try #require(table.finish())
        #expect(table.call(second)?.id == Array("2".utf8))
        #expect(table.activeCount == 2)
    }

    @Test func cancelsTheOldestOfAnID() throws {
        let table = CallTable(slots: 1, waitingLimit: 5)
        _ = table.admit(Self.call("1"))
        _ = table.admit(Self.call("\"a\""))
        _ = table.admit(Self.call("\"\\u0061\""))
        #expect(table.takeOldest(id: Array("\"a\"".utf8))?.id == Array("\"a\"".utf8))
        #expect(table.takeOldest(id: Array("\"a\"".utf8))?.id == Array("\"\\u0061\"".utf8))
        #expect(table.takeOldest(id: Array("\"a\"".utf8)) == nil)
        // Neither of them starts any more.
        #expect(table.finish() == nil)
    }
}

@Suite struct CallMetricsTests {
    @Test func countsByMethodAndForgetsOnReset() throws {
        let start = MonotonicClock(nanoseconds: 0)
        let metrics = CallMetrics(methods: ["ping"], now: start)
        metrics.record("ping", nanoseconds: 2_000_000, isError: false, now: start)
        metrics.record("ping", nanoseconds: 4_000_000, isError: true, now: start)
        metrics.record("nonsense", nanoseconds: 1, isError: true, now: start)
        let report = metrics.report(
            try MetricsParameters(forWorker: ["reset": true]), workerID: "w",
            now: start.adding(milliseconds: 3_000))
        #expect(report["total_requests"] == 3)
        #expect(report["total_errors"] == 2)
        #expect(report["by_type"]?["ping"]?["avg_time_ms"] == 3.0)
        #expect(report["by_type"]?["other"]?["count"] == 1)
        #expect(report["worker_id"] == "w")
        #expect(report["window"] == ["time_range": .null, "since": "start", "seconds": 3.0])
        let second = metrics.report(
            try MetricsParameters(forWorker: ["time_range": "1m"]), workerID: "w",
            now: start.adding(milliseconds: 4_000))
        #expect(second["total_requests"] == 0)
        #expect(second["window"] == ["time_range": "1m", "since": "reset", "seconds": 1.0])
        #expect(metrics.totals == (3, 2))
    }

    @Test func doesNotSpeakForThePool() {
        #expect(throws: RPCError.self) { try MetricsParameters(forWorker: ["scope": "pool"]) }
    }
}

@Suite struct ProcessMemoryTests {
    @Test func readsTheKernelsFigures() {
        let memory = ProcessMemory(
            statm: Array("4545 2788 2400 9 0".utf8), meminfo: Array("MemTotal:  24682 kB\nMemFree: 3 kB".utf8)
        )
        #expect(memory?.virtual == 4545 && memory?.resident == 2788 && memory?.total == 24682)
        #expect(ProcessMemory(statm: [], meminfo: []) == nil)
        #expect(ProcessMemory.report()["rss_mb"] != nil)
    }
}
