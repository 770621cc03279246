import Protocol

/// The params of `embedding.create`, as the supervisor judges them, too.
struct EmbeddingParameters: Equatable {
    var texts: [String]
    /// nil: the one that is served.
    var model: String?

    /// - Parameter params: JSON text that was checked; empty when there is none.
    init(_ params: [UInt8]) throws(RPCError) {
        // The ranges of a question are of use only where the bytes stay in place.
        let parsed = params.withUnsafeBytes { bytes in
            Result { () throws(RPCError) in
                let question = try EmbeddingQuestion(params: bytes.isEmpty ? nil : bytes)
                let texts = question.texts.map { JSONScanner.unescaped(bytes, $0) }
                return (texts, question.model.map { JSONScanner.unescaped(bytes, $0) })
            }
        }
        (self.texts, self.model) = try parsed.get()
    }

    /// - Throws: when another model is asked for than the one that is served.
    func checkModel(_ served: String) throws(RPCError) {
        guard let model = self.model, model != served else { return }
        throw .parameter(
            "model", expected: "\"\(served)\", the model that this worker serves", found: .string(model))
    }
}

/// The result of `embedding.create`.
struct EmbeddingResult {
    var model: String
    /// One a text; never empty.
    var vectors: [[Float]]

    /// `{"model":…,"dimensions":…,"embeddings":[[…],…]}`
    func write(to output: inout [UInt8]) {
        var object = ObjectWriter(&output)
        object.add("model", .string(self.model), to: &output)
        object.add("dimensions", .integer(self.vectors.first?.count ?? 0), to: &output)
        object.addName("embeddings", to: &output)
        for (position, vector) in self.vectors.enumerated() {
            MessageWriter.append(position == 0 ? "[[" : ",[", to: &output)
            for (place, number) in vector.enumerated() {
                if place > 0 { output.append(UInt8(ascii: ",")) }
                Float32Text.append(number, to: &output)
            }
            output.append(UInt8(ascii: "]"))
        }
        output.append(UInt8(ascii: "]"))
        object.close(&output)
    }
}
