import Glibc
import Protocol
import Testing

@testable import Worker

/// A server between two pipes, at whose other ends a supervisor answers what it asks.
@Suite struct ReverseCallTests {
    /// Serves requests, each when the one before is answered, and returns all that the worker wrote.
    ///
    /// - Parameter answer: the line that answers a question of the worker's.
    static func run(
        _ world: EndpointWorld, _ requests: [String], answer: @escaping @Sendable (JSONValue) -> String
    ) async throws -> [JSONValue] {
        var input: [Int32] = [-1, -1]
        var output: [Int32] = [-1, -1]
        guard pipe(&input) == 0, pipe(&output) == 0 else { throw SystemError("make", "a pipe") }
        let (requestEnd, writeEnd) = (input[0], output[1])
        startOwnThread {
            self.server(world, output: writeEnd).run(input: requestEnd)
            close(writeEnd)
            close(requestEnd)
        }
        let (sendEnd, readEnd) = (input[1], output[0])
        return await onOwnThread {
            var written: [JSONValue] = []
            var left = requests[...]
            func sendNext() {
                guard let request = left.popFirst() else { return _ = close(sendEnd) }
                Self.send(request, to: sendEnd)
            }
            sendNext()
            LineReader(limits: MessageLimits()).run(input: readEnd) { line in
                guard case .whole(let bytes) = line, let message = try? JSONValue(parsing: bytes) else {
                    return
                }
                written.append(message)
                if message["method"] == nil { return sendNext() }
                if message["id"] != nil { Self.send(answer(message), to: sendEnd) }
            }
            close(readEnd)
            return written
        }
    }

    private static func server(_ world: EndpointWorld, output: Int32) -> StdioServer {
        let buffer = OutputBuffer(descriptor: output) {}
        let calls = SupervisorCalls(output: buffer)
        var embedding = world.embedding
        if case .endpoint(let embedder, _) = embedding {
            embedding = .endpoint(
                embedder, cache: SupervisorEmbeddingCache(calls, patienceMilliseconds: 60_000) { _ in })
        }
        let service = WorkerService(
            workerID: "w", capabilities: WorkerCapabilities(maxConcurrency: 2, endpointModel: "toy"),
            holder: IndexHolder(directory: world.served.out), embedding: embedding)
        return StdioServer(
            service: service, output: buffer, waitingLimit: 10, questions: calls,
            startTask: { startOwnThread($0) })
    }

    private static func send(_ line: String, to descriptor: Int32) {
        let bytes = Array((line + "\n").utf8)
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    }

    static func answer(_ question: JSONValue, _ rest: String) -> String {
        #"{"jsonrpc":"2.0","id":\#(question["id"]?.text ?? "null"),\#(rest)}"#
    }

    @Test func asksForTheQuerysVectorAmongTheRequestsItServes() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        try await world.index()
        let asked = server.requests.count
        let vector = FakeSupervisor.text(of: [4, 0])
        let written = try await Self.run(world, [EndpointWorld.request("basic", "unheard of")]) {
            Self.answer($0, #""result":{"embeddings":["\#(vector)"]}"#)
        }
        #expect(written.count == 2)
        #expect(written[0]["method"] == "embedding_cache.get")
        #expect(written[0]["params"] == ["model": "toy", "texts": ["unheard of"]])
        #expect(written[1]["result"]?["retrieved_documents"]?.arrayValue?.first?["score"] == 1.0)
        #expect(server.requests.count == asked)
    }

    @Test func doesNotAskForWhatTheSupervisorHasLookedUpItself() async throws {
        let server = try EndpointWorld.server()
        let world = try EndpointWorld(port: server.port)
        let written = try await Self.run(world, [EmbeddingCreateTests.create]) {
            Self.answer($0, #""result":1"#)
        }
        #expect(written.count == 1 && written[0]["result"]?["model"] == "toy")
    }

    @Test func takesForAnAnswerOnlyWhatBearsAnIDOfItsOwn() async throws {
        let world = try EndpointWorld(port: ScriptedServer.closedPort)
        let late = #"{"jsonrpc":"2.0","id":"w77","result":{"embeddings":[]}}"#
        let oversize =
            #"{"jsonrpc":"2.0","id":"w78","result":""# + String(repeating: "A", count: 11 << 20) + "\"}"
        let foreign = #"{"jsonrpc":"2.0","id":"x77","result":1}"#
        let ping = #"{"jsonrpc":"2.0","id":3,"method":"ping"}"#
        let written = try await Self.run(world, [[late, oversize, foreign].joined(separator: "\n"), ping]) {
            _ in ""
        }
        #expect(written.map { $0["id"] } == ["x77", 3])
        #expect(written[0]["error"]?["code"] == -32600)
    }

    @Test func refusesAnswersWhenItHasAskedNobody() async throws {
        let replies = try await ServedIndex().serve(#"{"jsonrpc":"2.0","id":"w1","result":1}"#)
        #expect(replies[0]["error"]?["code"] == -32600 && replies[0]["id"] == "w1")
    }

    @Test func asksOnlyThroughThePipesOfASupervisor() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let file = try FileDescriptor(opening: "/dev/null", O_RDWR)
        let supervised = ProcessEnvironment(["SUPERVISOR_INSTANCE": "x"])
        func isPossible(_ input: Int32, _ output: Int32, _ environment: ProcessEnvironment) -> Bool {
            SupervisorCalls.isPossible(input: input, output: output, environment: environment)
        }
        #expect(isPossible(ends[0], ends[1], supervised))
        #expect(!isPossible(ends[0], ends[1], ProcessEnvironment([:])))
        #expect(!isPossible(file.rawValue, ends[1], supervised))
        #expect(!isPossible(ends[0], file.rawValue, supervised))
    }

    @Test func readsAnswersWhereNothingIsServed() async throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let (readEnd, writeEnd) = (ends[0], ends[1])
        let supervisor = try FakeSupervisor { question in
            Self.send("noise\n" + Self.answer(question, #""result":5"#), to: writeEnd)
            return nil
        }
        let calls = supervisor.calls
        startOwnThread {
            calls.readAnswers(from: readEnd)
            close(readEnd)
        }
        let answer = await onOwnThread { calls.ask("q", params: Array("{}".utf8), milliseconds: 60_000) }
        #expect(answer == .result(5))
        close(writeEnd)
    }
}
