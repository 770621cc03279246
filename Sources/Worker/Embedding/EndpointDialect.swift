import Protocol

/// How an embedding service is spoken to.
///
///     ollama   POST /api/embed      {"model","input":[…]} → {"embeddings":[[…],…]}
///     openai   POST /v1/embeddings  {"model","input":[…]} → {"data":[{"index":0,"embedding":[…]},…]}
///
/// The second is spoken by vLLM, Text Embeddings Inference, llama.cpp and most others.
enum EndpointDialect: String, Sendable {
    case ollama
    case openai

    /// The path behind the address's own, which for openai may end with `/v1` already, as most documentation has it.
    func path(below address: HTTPAddress) -> String {
        switch self {
        case .ollama: "/api/embed"
        case .openai: address.path.hasSuffix("/v1") ? "/embeddings" : "/v1/embeddings"
        }
    }

    func request(model: String, texts: [String]) -> [UInt8] {
        let body: JSONValue = ["model": .string(model), "input": .array(texts.map { .string($0) })]
        return body.bytes
    }

    /// An answer that cannot be used; the words say why.
    struct Fault: Error, Equatable {
        var description: String

        init(_ description: String) { self.description = description }
    }

    /// The vectors of an answer.
    ///
    /// - Parameters:
    ///   - count: how many there must be.
    ///   - dimensions: how long each must be; nil: all as the first.
    func vectors(
        in answer: [UInt8], count: Int, dimensions: Int?
    ) throws(Fault) -> [[Float]] {
        let tree: JSONValue
        do {
            tree = try JSONValue(parsing: answer)
        } catch {
            throw Fault("its answer is not JSON: \(error)")
        }
        let rows = try self.rows(of: tree, count: count)
        var vectors: [[Float]] = []
        vectors.reserveCapacity(count)
        for (position, row) in rows.enumerated() {
            vectors.append(
                try Self.vector(row, of: position, dimensions: dimensions ?? vectors.first?.count))
        }
        return vectors
    }

    private func rows(of tree: JSONValue, count: Int) throws(Fault) -> [JSONValue] {
        let name = self == .ollama ? "embeddings" : "data"
        guard let elements = tree[name]?.arrayValue else { throw Fault("its answer has no array `\(name)`") }
        guard elements.count == count else {
            throw Fault("it gave \(elements.count) vectors for \(count) texts")
        }
        guard self == .openai else { return elements }
        var rows = [JSONValue?](repeating: nil, count: count)
        for (position, element) in elements.enumerated() {
            let index = element["index"]?.integerValue ?? Int64(position)
            guard (0..<Int64(count)).contains(index), rows[Int(index)] == nil else {
                throw Fault("the `index` of its vector \(position) is none of its own")
            }
            rows[Int(index)] = element["embedding"] ?? .null
        }
        return rows.compactMap { $0 }
    }

    private static func vector(
        _ row: JSONValue, of position: Int, dimensions: Int?
    ) throws(Fault) -> [Float] {
        guard let numbers = row.arrayValue, !numbers.isEmpty else {
            throw Fault("its vector \(position) is no array of numbers")
        }
        guard numbers.count == dimensions ?? numbers.count else {
            throw Fault("its vector \(position) has \(numbers.count) numbers, expected \(dimensions ?? 0)")
        }
        var vector: [Float] = []
        vector.reserveCapacity(numbers.count)
        for number in numbers {
            guard let value = number.doubleValue.map({ Float($0) }), value.isFinite else {
                throw Fault("its vector \(position) holds something else than finite numbers")
            }
            vector.append(value)
        }
        return vector
    }
}
