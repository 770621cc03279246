import Glibc
import Protocol

@testable import Worker

/// The other end of a worker's stdout: takes what it asks and tells, and answers as a test wants.
final class FakeSupervisor: Sendable {
    let calls: SupervisorCalls
    private let readEnd: Int32
    private let writeEnd: Int32
    private let heard = Locked<[JSONValue]>([])
    private let ended = Signal()

    /// - Parameter answer: the rest of an answer to a request, behind its id, such as `"result":{}`; nil: none.
    init(_ answer: @escaping @Sendable (JSONValue) -> String?) throws {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError("make", "a pipe") }
        self.readEnd = ends[0]
        self.writeEnd = ends[1]
        let calls = SupervisorCalls(output: OutputBuffer(descriptor: ends[1]) {})
        self.calls = calls
        let (input, heard, ended) = (ends[0], self.heard, self.ended)
        startOwnThread {
            LineReader(limits: MessageLimits()).run(input: input) { line in
                guard case .whole(let bytes) = line, let message = try? JSONValue(parsing: bytes) else {
                    return
                }
                heard.withLock { $0.append(message) }
                guard let id = message["id"], let rest = answer(message) else { return }
                Self.deliver("{\"jsonrpc\":\"2.0\",\"id\":\(id.text),\(rest)}", to: calls)
            }
            ended.raise()
        }
    }

    /// Hands a line over as the thread that reads a worker's stdin does.
    @discardableResult
    static func deliver(_ line: String, to calls: SupervisorCalls) -> Bool {
        Array(line.utf8).withUnsafeBytes { bytes in
            guard case .invalid(_, let id?) = ClientMessage.scan(bytes, limits: MessageLimits()) else {
                return false
            }
            return calls.take(id: UnsafeRawBufferPointer(rebasing: bytes[id]), message: bytes)
        }
    }

    /// All that was asked and told, when nothing more will be.
    func finish() async -> [JSONValue] {
        close(self.writeEnd)
        await onOwnThread { self.ended.wait() }
        close(self.readEnd)
        return self.heard.withLock { $0 }
    }
}

extension FakeSupervisor {
    /// One with a cache of its own, that embedded texts are kept in.
    static func caching(_ vectors: [String: [Float]] = [:]) throws -> FakeSupervisor {
        try FakeSupervisor { message in
            let texts = message["params"]?["texts"]?.arrayValue ?? []
            let found = texts.map { text in
                text.stringValue.flatMap { vectors[$0] }.map { JSONValue.string(self.text(of: $0)) } ?? .null
            }
            return "\"result\":" + JSONValue.object([.init("embeddings", .array(found))]).text
        }
    }

    static func text(of vector: [Float]) -> String {
        var bytes: [UInt8] = []
        VectorText.append(vector, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
