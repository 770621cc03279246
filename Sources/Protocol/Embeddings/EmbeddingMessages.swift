/// What a caller asks with `embedding.create`: `{input: string or [string], model?}`.
public struct EmbeddingQuestion: Equatable, Sendable {
    /// Texts of one call: to look them up must not take the loop's time from all others.
    public static let maximumTexts = 10_000

    /// What stands between the quotes of each text, in the params.
    public private(set) var texts: [Range<Int>] = []
    /// The same of the model's name; nil where none is named.
    public private(set) var model: Range<Int>?

    /// - Parameter params: accepted JSON.
    /// - Throws: −32602 with the path and what was expected.
    public init(params: UnsafeRawBufferPointer?) throws(RPCError) {
        guard let params, params.first == UInt8(ascii: "{") else {
            throw .invalidParams(nil, "expected {input: string or [string], model?: string}")
        }
        var input: Range<Int>?
        for member in JSONMembers(params) {
            switch member.name {
            case "input" where input != nil: throw .invalidParams("input", "expected one, found two")
            case "input": input = member.value
            case "model": self.model = try Self.string(member.value, in: params, "model")
            default:
                let hint =
                    NearestName.find(member.name, in: ["input", "model"]).map { "; did you mean \($0)?" }
                    ?? ""
                throw .invalidParams(Excerpt.escaped(member.name), "unknown member\(hint)")
            }
        }
        let expected = "expected a string, or an array of 1 to \(Self.maximumTexts) strings"
        guard let input else { throw .invalidParams("input", expected) }
        switch params[input.lowerBound] {
        case UInt8(ascii: "\""):
            self.texts = [try Self.string(input, in: params, "input") ?? input]
        case UInt8(ascii: "["):
            try self.readTexts(input, params)
            guard !self.texts.isEmpty else { throw .invalidParams("input", "\(expected), found none") }
        default: throw .invalidParams("input", expected)
        }
    }

    private mutating func readTexts(
        _ array: Range<Int>, _ params: UnsafeRawBufferPointer
    ) throws(RPCError) {
        for element in JSONElements(params, array) {
            let path = "input[\(self.texts.count)]"
            guard self.texts.count < Self.maximumTexts else {
                throw .invalidParams(path, "expected at most \(Self.maximumTexts) texts in one call")
            }
            guard let text = try Self.string(element, in: params, path) else {
                throw .invalidParams(path, "expected a string, found null")
            }
            self.texts.append(text)
        }
    }

    /// - Returns: what is between the quotes; nil for null.
    private static func string(
        _ value: Range<Int>, in params: UnsafeRawBufferPointer, _ path: String
    ) throws(RPCError) -> Range<Int>? {
        if params[value.lowerBound] == UInt8(ascii: "n"), path == "model" { return nil }
        guard params[value.lowerBound] == UInt8(ascii: "\"") else {
            let found = Excerpt.escaped(UnsafeRawBufferPointer(rebasing: params[value]))
            throw .invalidParams(path, "expected a string, found \(found)")
        }
        let content = value.lowerBound + 1..<value.upperBound - 1
        guard JSONText.isExact(params, content) else {
            throw .invalidParams(path, "expected Unicode text, found a surrogate without its other half")
        }
        return content
    }
}

/// What a worker answers to `embedding.create`: `{model?, dimensions?, embeddings: [[number]]}`.
public struct EmbeddingReply: Equatable, Sendable {
    /// Why an answer is none, in words for the log.
    public struct Fault: Error, Equatable, Sendable {
        public let words: String

        public init(words: String) { self.words = words }
    }

    /// As the worker names it; nil where it names none.
    public private(set) var model: [UInt8]?
    public private(set) var dimensions = 0
    /// All vectors, one behind the other.
    public private(set) var numbers: [Float] = []

    /// - Parameters:
    ///   - result: accepted JSON.
    ///   - count: vectors that were asked for.
    public init(_ result: UnsafeRawBufferPointer, count: Int) throws(Fault) {
        guard result.first == UInt8(ascii: "{") else { throw Fault(words: "expected an object") }
        var vectors: Range<Int>?
        for member in JSONMembers(result) {
            switch member.name {
            case "embeddings" where result[member.value.lowerBound] == UInt8(ascii: "["):
                vectors = member.value
            case "model" where result[member.value.lowerBound] == UInt8(ascii: "\""):
                let content = member.value.lowerBound + 1..<member.value.upperBound - 1
                self.model = JSONScanner.unescapedUTF8(result, content)
            default: break
            }
        }
        guard let vectors else { throw Fault(words: "expected an array \"embeddings\"") }
        var read = 0
        for vector in JSONElements(result, vectors) {
            try self.readVector(vector, result, index: read)
            read += 1
        }
        guard read == count else { throw Fault(words: "expected \(count) embeddings, found \(read)") }
    }

    private mutating func readVector(
        _ vector: Range<Int>, _ result: UnsafeRawBufferPointer, index: Int
    ) throws(Fault) {
        guard result[vector.lowerBound] == UInt8(ascii: "[") else {
            throw Fault(words: "embeddings[\(index)]: expected an array of numbers")
        }
        let before = self.numbers.count
        for element in JSONElements(result, vector) {
            let first = result[element.lowerBound]
            guard first == UInt8(ascii: "-") || first &- UInt8(ascii: "0") < 10,
                let number = Float32Text.parse(UnsafeRawBufferPointer(rebasing: result[element]))
            else {
                let place = "embeddings[\(index)][\(self.numbers.count - before)]"
                let found = Excerpt.escaped(UnsafeRawBufferPointer(rebasing: result[element]))
                throw Fault(words: "\(place): expected a number that a 32-bit float can hold, found \(found)")
            }
            self.numbers.append(number)
        }
        let length = self.numbers.count - before
        if index == 0 { self.dimensions = length }
        guard length > 0, length == self.dimensions else {
            let expected = index == 0 ? "at least one number" : "\(self.dimensions) numbers"
            throw Fault(words: "embeddings[\(index)]: expected \(expected), found \(length)")
        }
    }
}

/// What a worker asks or tells with `embedding_cache.get {model, texts}` and
/// `embedding_cache.put {model, texts, embeddings}`.
public struct EmbeddingCacheMessage: Equatable, Sendable {
    public private(set) var model: [UInt8] = []
    /// What stands between the quotes of each text, in the params.
    public private(set) var texts: [Range<Int>] = []
    /// The values of `embeddings`: what each of them is, `vector` says.
    public private(set) var embeddings: [Range<Int>] = []

    /// - Parameters:
    ///   - params: accepted JSON.
    ///   - isPut: whether `embeddings` belong to it.
    public init(params: UnsafeRawBufferPointer?, isPut: Bool) throws(RPCError) {
        let shape = isPut ? "{model, texts, embeddings}" : "{model, texts}"
        guard let params, params.first == UInt8(ascii: "{") else {
            throw .invalidParams(nil, "expected \(shape)")
        }
        var (hasModel, hasTexts) = (false, false)
        for member in JSONMembers(params) {
            let first = params[member.value.lowerBound]
            switch member.name {
            case "model":
                guard first == UInt8(ascii: "\"") else { throw .invalidParams("model", "expected a string") }
                let content = member.value.lowerBound + 1..<member.value.upperBound - 1
                self.model = JSONScanner.unescapedUTF8(params, content)
                hasModel = true
            case "texts", "embeddings":
                guard first == UInt8(ascii: "[") else {
                    throw .invalidParams(member.name, "expected an array")
                }
                let values = Array(JSONElements(params, member.value))
                if member.name == "texts" {
                    self.texts = values
                    hasTexts = true
                } else {
                    self.embeddings = values
                }
            default: break
            }
        }
        guard hasModel else { throw .invalidParams("model", "expected a string") }
        guard hasTexts else { throw .invalidParams("texts", "expected an array") }
        guard !isPut || self.texts.count == self.embeddings.count else {
            throw .invalidParams(
                "embeddings",
                "expected one for each of \(self.texts.count) texts, found \(self.embeddings.count)")
        }
        for (index, text) in self.texts.enumerated() {
            guard params[text.lowerBound] == UInt8(ascii: "\"") else {
                throw .invalidParams("texts[\(index)]", "expected a string")
            }
            self.texts[index] = text.lowerBound + 1..<text.upperBound - 1
        }
    }

    /// Appends one of the embeddings as little-endian 32-bit floats: Base64 of them, or an array of numbers.
    ///
    /// - Throws: what is wrong with it; the output is then as it was.
    public static func appendVector(
        _ value: Range<Int>, in params: UnsafeRawBufferPointer, to output: inout [UInt8]
    ) throws(EmbeddingReply.Fault) {
        let start = output.count
        switch params[value.lowerBound] {
        case UInt8(ascii: "\""):
            let content = value.lowerBound + 1..<value.upperBound - 1
            let text = JSONScanner.unescapedUTF8(params, content)
            guard text.withUnsafeBytes({ Base64.decode($0, to: &output) }) else {
                throw .init(words: "is not Base64")
            }
        case UInt8(ascii: "["):
            for element in JSONElements(params, value) {
                guard let number = Self.number(params[element]) else {
                    output.removeSubrange(start...)
                    throw .init(words: "holds something that is no 32-bit float")
                }
                withUnsafeBytes(of: number.bitPattern.littleEndian) { output.append(contentsOf: $0) }
            }
        default: throw .init(words: "is neither Base64 nor an array of numbers")
        }
        guard let fault = Self.fault(output[start...]) else { return }
        output.removeSubrange(start...)
        throw .init(words: fault)
    }

    private static func number(_ text: Slice<UnsafeRawBufferPointer>) -> Float? {
        guard let first = text.first, first == UInt8(ascii: "-") || first &- UInt8(ascii: "0") < 10 else {
            return nil
        }
        return Float32Text.parse(UnsafeRawBufferPointer(rebasing: text))
    }

    /// What keeps bytes from being a vector.
    private static func fault(_ vector: ArraySlice<UInt8>) -> String? {
        if vector.isEmpty { return "is empty" }
        if vector.count % 4 != 0 { return "has \(vector.count) bytes, which is no multiple of 4" }
        let isFinite = vector.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).allSatisfy {
                let bits = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self))
                return Float(bitPattern: bits).isFinite
            }
        }
        return isFinite ? nil : "holds a number that is not finite"
    }
}
