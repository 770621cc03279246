import Protocol
import Testing

@testable import Supervisor

/// A scenario whose workers make vectors of two numbers: how long the text is, and its first byte.
extension Scenario {
    static func embedding(
        workers: Int = 2, model: String? = "m", _ configure: (inout Configuration) -> Void = { _ in }
    ) -> Scenario {
        var members: [JSONValue.Member] = [.init("max_concurrency", 8), .init("cancel", true)]
        if let model { members.append(.init("embedding_model", .string(model))) }
        return Scenario.ready(workers: workers, capabilities: .object(members)) {
            $0.health.interval = .seconds(36_000)
            configure(&$0)
        }
    }

    static func vector(_ text: String) -> JSONValue {
        [.integer(text.utf8.count), .integer(text.utf8.first ?? 0)]
    }

    func embed(
        _ client: ConnectionToken, _ texts: [String], model: String? = nil, metadata: JSONValue = [:]
    ) {
        var params: [JSONValue.Member] = [.init("input", .array(texts.map { .string($0) }))]
        if let model { params.append(.init("model", .string(model))) }
        self.call(client, 7, "embedding.create", params: .object(params), metadata: metadata)
    }

    /// The texts of the open call of a worker, and the model it was asked for.
    func openQuestion() throws -> (texts: [String], model: String?) {
        let (worker, call) = try self.openCall()
        let message = self.messages(to: worker).last { $0["id"]?.integerValue == call }
        let input = message?["params"]?["input"]?.arrayValue ?? []
        return (input.compactMap(\.stringValue), message?["params"]?["model"]?.stringValue)
    }

    /// Answers the open call with the vectors of its texts.
    func answerQuestion(model: String? = "m", dimensions: Int = 2) throws {
        let vectors = try self.openQuestion().texts.map { text -> JSONValue in
            .array(Array((Self.vector(text).arrayValue ?? []).prefix(dimensions)))
        }
        var members: [JSONValue.Member] = [.init("embeddings", .array(vectors))]
        if let model { members.append(.init("model", .string(model))) }
        try self.replyToOpenCall(.object(members))
    }

    /// The texts that workers are asked for when a client asks for those; the answer is as it must be.
    func missing(_ client: ConnectionToken, _ texts: [String], metadata: JSONValue = [:]) throws -> [String] {
        let before = self.sent
        self.embed(client, texts, metadata: metadata)
        var asked: [String] = []
        if self.sent > before {
            asked = try self.openQuestion().texts
            try self.answerQuestion()
        }
        try self.expectVectors(client, texts)
        return asked
    }

    func expectVectors(_ client: ConnectionToken, _ texts: [String], model: String = "m") throws {
        let answer = try self.answer(client)
        let result = try #require(answer["result"], "\(answer.text)")
        #expect(result["model"]?.stringValue == model && result["dimensions"] == 2)
        let numbers = result["embeddings"]?.arrayValue?.map { $0.arrayValue?.map(\.doubleValue) }
        let expected = texts.map { Self.vector($0).arrayValue?.map(\.doubleValue) }
        #expect(numbers == expected)
    }

    /// What a worker is answered to a question of its own.
    func ask(_ worker: WorkerToken, _ method: String, _ params: String) throws -> JSONValue {
        self.write(worker, #"{"jsonrpc":"2.0","id":"w1","method":"\#(method)","params":\#(params)}"#)
        return try #require(self.messages(to: worker).last { $0["id"] == "w1" })
    }

    func embeddingFigure(_ name: String) -> JSONValue? { self.status()["cache"]?["embedding"]?[name] }
}
