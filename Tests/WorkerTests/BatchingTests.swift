import Glibc
import Protocol
import Testing

@testable import Worker

/// A server whose input is a stream and whose output keeps the bounds of its writes: each is a packet.
private struct PacketServer {
    private let served: ServedIndex
    private let input: (worker: Int32, test: Int32)
    private let output: (worker: Int32, test: Int32)

    init() throws {
        self.served = try ServedIndex()
        self.input = try Self.pair(SOCK_STREAM)
        self.output = try Self.pair(SOCK_SEQPACKET)
        let server = StdioServer(
            service: WorkerService(
                workerID: "worker_test", capabilities: WorkerCapabilities(maxConcurrency: 4),
                holder: IndexHolder(directory: self.served.out)),
            output: OutputBuffer(descriptor: self.output.worker) {},
            waitingLimit: 1_000, startTask: { startOwnThread($0) })
        let (input, output) = (self.input.worker, self.output.worker)
        startOwnThread {
            server.run(input: input)
            Glibc.close(input)
            Glibc.close(output)
        }
    }

    private static func pair(_ type: __socket_type) throws -> (worker: Int32, test: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(socketpair(AF_UNIX, Int32(type.rawValue), 0, &ends) == 0)
        return (ends[0], ends[1])
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        let count = write(self.input.test, bytes, bytes.count)
        precondition(count == bytes.count, "the input takes what is sent at once")
    }

    /// The answers of the next write; nil when there is none within 30 s, or no more.
    func nextWrite() -> [JSONValue]? {
        var wait = pollfd(fd: self.output.test, events: Int16(POLLIN), revents: 0)
        guard poll(&wait, 1, 30_000) == 1 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 1 << 17)
        let count = read(self.output.test, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return bytes[..<count].split(separator: 0x0A).map { (try? JSONValue(parsing: Array($0))) ?? .null }
    }

    func close() {
        Glibc.close(self.input.test)
        while self.nextWrite() != nil {}
        Glibc.close(self.output.test)
    }
}

@Suite struct BatchingTests {
    @Test func answersWhatOneReadBringsWithOneWrite() throws {
        let server = try PacketServer()
        defer { server.close() }
        let lines = (0..<100).map { #"{"jsonrpc":"2.0","id":\#($0),"method":"ping"}"# }
        server.send(lines.joined(separator: "\n") + "\nnonsense\n")
        let answers = try #require(server.nextWrite())
        #expect(answers.count == 101)
        #expect(answers.dropLast().map { $0["id"] } == (0..<100).map { .integer($0) })
        #expect(answers.last?["error"]?["code"] == -32700)
    }

    @Test func anAnswerNeverWaitsForInput() throws {
        let server = try PacketServer()
        defer { server.close() }
        server.send(#"{"jsonrpc":"2.0","id":1,"method":"ping"}"# + "\n" + #"{"jsonrpc":"2.0","id":2,"#)
        #expect(server.nextWrite()?.map { $0["id"] } == [1])
        server.send(#""method":"ping"}"# + "\n")
        #expect(server.nextWrite()?.map { $0["id"] } == [2])
    }

    @Test func anAnswerOfATaskWaitsForNoOther() throws {
        let server = try PacketServer()
        defer { server.close() }
        server.send(StdioServerTests.execute + "\n")
        #expect(server.nextWrite()?.map { $0["id"] } == ["e"])
    }

    @Test func theDocumentsOfAStreamDoNotWaitForItsAnswer() throws {
        let server = try PacketServer()
        defer { server.close() }
        server.send(StdioServerTests.execute.replacing("rag.execute", with: "rag.stream") + "\n")
        let first = try #require(server.nextWrite())
        #expect(first.map { $0["params"]?["chunk_type"] } == ["document"])
        let rest = try #require(server.nextWrite())
        #expect(rest.last?["id"] == "e" && rest.last?["result"] != nil)
    }

    @Test func muchGoesOutBeforeTheReadIsDone() throws {
        let server = try PacketServer()
        defer { server.close() }
        // 400 answers of more than 1,000 bytes for 20 kB of input: no write is larger than the bound and one answer.
        let line = #"{"jsonrpc":"2.0","id":1,"method":"health.check"}"# + "\n"
        server.send(String(repeating: line, count: 400))
        var writes: [Int] = []
        while writes.reduce(0, +) < 400, let answers = server.nextWrite() { writes.append(answers.count) }
        #expect(writes.reduce(0, +) == 400)
        #expect(writes.count > 4 && writes.allSatisfy { $0 < 100 })
    }
}
