import Protocol

/// The params of `rag.execute`, judged as the contract says: everything that is there is known and in range.
struct ExecuteParameters: Equatable {
    static let longestQuery = 8_000
    static let defaultTopK = 5

    var technique: Technique
    var query: String
    var topK = defaultTopK
    var filter: MetadataFilter?
    var minimumScore: Double?
    var generate = true
    var includeDocuments = true
    /// Words of the answer at most; nil: no bound but that of the generator.
    var maximumTokens: Int?
    /// Sampling of a generating model; the extractive answer has none.
    var temperature: Double?
    var explain = false
    var techniqueParameters = TechniqueParameters()

    private static let optionNames = [
        "top_k", "filters", "min_score", "generate", "include_documents", "max_tokens", "temperature",
        "explain",
    ]

    /// - Parameter params: nil when the request has none.
    init(_ params: JSONValue?) throws(RPCError) {
        let technique = params?["technique"] ?? .null
        let query = params?["query"] ?? .null
        guard let params, !technique.isNull, !query.isNull else {
            throw RPCError(
                .invalidParams, reason: "missing_parameters",
                "Missing required parameters: technique and query")
        }
        let reader = try ParameterReader(
            params, path: "", known: ["technique", "query", "options", "technique_params"])
        let name = try reader.string("technique") ?? ""
        self.query = try reader.string("query") ?? ""
        self.technique = .bm25
        let length = self.query.unicodeScalars.count
        guard (1...Self.longestQuery).contains(length) else {
            throw .invalidParams("query", "expected 1 to \(Self.longestQuery) characters, found \(length)")
        }
        if let options = reader["options"] { try self.readOptions(options) }
        guard let known = Technique(rawValue: name) else { throw Self.unknown(technique: name) }
        self.technique = known
        if let value = reader["technique_params"] {
            self.techniqueParameters = try TechniqueParameters(value, for: known)
        }
    }

    static func unknown(technique name: String) -> RPCError {
        let nearest = NearestName.find(name, in: Technique.names)
        return RPCError(
            .pipelineNotFound, reason: "unknown_technique", "Pipeline not found: \(Excerpt.escaped(name))",
            recovery: .fallbackTechnique,
            details: [
                JSONValue.Member("techniques", .array(Technique.names.map { .string($0) })),
                JSONValue.Member("nearest", .string(nearest)),
            ])
    }

    private mutating func readOptions(_ value: JSONValue) throws(RPCError) {
        let options = try ParameterReader(value, path: "options", known: Self.optionNames)
        self.topK = try options.integer("top_k", in: 1...100) ?? self.topK
        if let filters = options["filters"] { self.filter = try MetadataFilter(filters) }
        let finite = Double.greatestFiniteMagnitude
        self.minimumScore = try options.number("min_score", in: -finite...finite)
        self.generate = try options.bool("generate") ?? self.generate
        self.includeDocuments = try options.bool("include_documents") ?? self.includeDocuments
        self.maximumTokens = try options.integer("max_tokens", in: 1...1_000_000)
        self.temperature = try options.number("temperature", in: 0...2)
        self.explain = try options.bool("explain") ?? self.explain
    }
}

extension TechniqueParameters {
    /// - Parameter value: `{k1, b}` for bm25; `{k1, b, k, weights}` for hybrid; nothing for basic.
    init(_ value: JSONValue, for technique: Technique) throws(RPCError) {
        self.init()
        let names: [String]
        switch technique {
        case .bm25: names = ["k1", "b"]
        case .basic: names = []
        case .hybrid: names = ["k1", "b", "k", "weights"]
        }
        let reader = try ParameterReader(value, path: "technique_params", known: names)
        self.bm25.k1 = try reader.number("k1", in: 0...100) ?? self.bm25.k1
        self.bm25.b = try reader.number("b", in: 0...1) ?? self.bm25.b
        self.fusion.k = try reader.number("k", in: 1...10_000) ?? self.fusion.k
        if let weights = reader["weights"] { try self.readWeights(weights) }
    }

    /// `{"bm25": 1, "basic": 0.5}`; one that is not named keeps its default.
    private mutating func readWeights(_ value: JSONValue) throws(RPCError) {
        let reader = try ParameterReader(value, path: "technique_params.weights", known: ["bm25", "basic"])
        self.fusion.weights = [
            try reader.number("bm25", in: 0...1_000) ?? self.fusion.weights[0],
            try reader.number("basic", in: 0...1_000) ?? self.fusion.weights[1],
        ]
        guard self.fusion.weights.contains(where: { $0 > 0 }) else {
            throw .invalidParams("technique_params.weights", "expected at least one weight above 0")
        }
    }
}
