import Protocol
import Testing

@testable import Worker

@Suite struct ExecuteParametersTests {
    static func error(_ params: String?) -> RPCError? {
        do {
            _ = try ExecuteParameters(params.map { try JSONValue(parsing: $0) })
            return nil
        } catch {
            return error as? RPCError
        }
    }

    @Test func takesEverythingTheContractNames() throws {
        let params = try JSONValue(
            parsing: """
                {"technique": "hybrid", "query": "q", "options": {"top_k": 7.0, "filters": {"year": 1962},
                "min_score": 0.5, "generate": false, "include_documents": false, "max_tokens": 10, "temperature": 0,
                "explain": true}, "technique_params": {"k": 10, "weights": {"bm25": 2}, "k1": 0.9, "b": 0.4}}
                """)
        let parameters = try ExecuteParameters(params)
        #expect(parameters.technique == .hybrid)
        #expect(parameters.topK == 7)
        #expect(parameters.minimumScore == 0.5)
        #expect(!parameters.generate && !parameters.includeDocuments && parameters.explain)
        #expect(parameters.maximumTokens == 10)
        #expect(parameters.techniqueParameters.bm25 == BM25.Parameters(k1: 0.9, b: 0.4))
        #expect(parameters.techniqueParameters.fusion == RankFusion.Parameters(k: 10, weights: [2, 1]))
    }

    @Test(arguments: [
        nil, "{}", "[]", #"{"technique":"bm25"}"#, #"{"query":"x"}"#, #"{"technique":null,"query":"x"}"#,
    ])
    func asksForWhatIsMissing(params: String?) {
        let error = Self.error(params)
        #expect(error?.code == .invalidParams)
        #expect(error?.message == "Missing required parameters: technique and query")
    }

    @Test(arguments: [
        (#""options":{"topk":3}"#, "options.topk: unknown key; did you mean `top_k`?"),
        (#""optoins":{}"#, "optoins: unknown key; did you mean `options`?"),
        (#""options":{"top_k":0}"#, "options.top_k: expected a whole number from 1 to 100, found 0"),
        (#""options":{"top_k":2.5}"#, "options.top_k: expected a whole number from 1 to 100, found 2.5"),
        (#""options":{"top_k":"5"}"#, #"options.top_k: expected a whole number from 1 to 100, found "5""#),
        (#""options":{"top_k":1,"top_k":2}"#, "options.top_k: expected it once, found it twice"),
        (#""options":[]"#, "options: expected an object, found an array"),
        (#""options":{"generate":1}"#, "options.generate: expected true or false, found 1"),
        (#""options":{"min_score":"x"}"#, #"options.min_score: expected a number, found "x""#),
        (#""options":{"temperature":3}"#, "options.temperature: expected a number from 0 to 2, found 3"),
        (#""options":{"filters":{"$nor":[]}}"#, "options.filters.$nor: unknown key; did you mean `$or`?"),
        (
            #""options":{"filters":{"year":{"$gt":[1]}}}"#,
            "options.filters.year.$gt: expected a number or a string, found an array"
        ),
        (
            #""options":{"filters":{"a":{"$in":3}}}"#,
            "options.filters.a.$in: expected an array of values, found 3"
        ),
        (
            #""options":{"filters":{"$or":[{"a":1},3]}}"#,
            "options.filters.$or[1]: expected an object of field names and conditions, found 3"
        ),
        (#""technique_params":{"k":60}"#, "technique_params.k: unknown key; did you mean `k1`?"),
        (#""technique_params":{"b":2}"#, "technique_params.b: expected a number from 0 to 1, found 2"),
    ])
    func saysWhereAParameterIsWrong(member: String, message: String) {
        let error = Self.error(#"{"technique":"bm25","query":"q",\#(member)}"#)
        #expect(error?.code == .invalidParams)
        #expect(error?.message == "Invalid params: " + message)
    }

    /// Messages quote at most 40 bytes of input, escaped (protocol §6).
    @Test(arguments: [
        #""NAME":1"#, #""options":{"NAME":1}"#, #""technique_params":{"NAME":1}"#,
        #""options":{"filters":{"NAME":[1]}}"#, #""options":{"filters":{"a":{"NAME":1}}}"#,
        #""options":{"filters":{"$NAME":1}}"#,
    ]) func quotesLittleOfANameThatMeansNothing(members: String) {
        let name = #"\u001b[31m\u0007"# + String(repeating: "k", count: 5000)
        let text = members.split(separator: "NAME").joined(separator: name)
        let error = Self.error(#"{"technique":"bm25","query":"q",\#(text)}"#)
        #expect(error?.code == .invalidParams)
        #expect(
            error?.message.contains(#"\x1b[31m\x07kkk"#) == true && (error?.message.utf8.count ?? 0) < 300)
        let path = error?.details.first { $0.name == "path" }?.value.stringValue
        #expect(path?.contains(#"\x1b"#) == true && (path?.utf8.count ?? 0) < 100)
    }

    @Test func boundsTheQuery() {
        func error(_ count: Int) -> RPCError? {
            Self.error(#"{"technique":"bm25","query":"\#(String(repeating: "é", count: count))"}"#)
        }
        #expect(error(0)?.message == "Invalid params: query: expected 1 to 8000 characters, found 0")
        #expect(error(8_000) == nil)
        #expect(error(8_001)?.code == .invalidParams)
    }

    @Test func knowsNoOtherTechnique() {
        let error = Self.error(#"{"technique":"bm52","query":"q"}"#)
        #expect(error?.code == .pipelineNotFound)
        #expect(error?.message == "Pipeline not found: bm52")
        #expect(error?.details.first { $0.name == "nearest" }?.value == "bm25")
    }
}

@Suite struct MetadataFilterTests {
    static var fields: DocumentFields {
        DocumentFields([
            .init("year", 1962), .init("kind", "report"), .init("tags", ["nasa", "wing"]),
            .init("open", true),
            .init("date", "1962-05-01"),
        ])
    }

    @Test(arguments: [
        (#"{}"#, true),
        (#"{"year": 1962}"#, true), (#"{"year": 1962.0}"#, true), (#"{"year": "1962"}"#, false),
        (#"{"year": {"$gte": 1960, "$lt": 1963}}"#, true), (#"{"year": {"$gt": 1962}}"#, false),
        (#"{"year": {"$lte": 1962}}"#, true), (#"{"year": {"$gt": "a"}}"#, false),
        (#"{"kind": {"$in": ["a", "report"]}}"#, true), (#"{"kind": {"$in": []}}"#, false),
        (#"{"kind": {"$ne": "report"}}"#, false), (#"{"none": {"$ne": "x"}}"#, true),
        (#"{"none": null}"#, true), (#"{"kind": null}"#, false),
        (#"{"tags": "wing"}"#, true), (#"{"tags": {"$ne": "wing"}}"#, false),
        (#"{"tags": {"$in": ["x"]}}"#, false),
        (#"{"open": true, "kind": "report"}"#, true), (#"{"open": true, "kind": "x"}"#, false),
        (#"{"$or": [{"kind": "x"}, {"year": 1962}]}"#, true),
        (#"{"$and": [{"kind": "x"}, {"year": 1962}]}"#, false),
        (#"{"date": {"$gt": "1962-04"}}"#, true),
    ])
    func matchesFields(filter: String, isMatch: Bool) throws {
        #expect(try MetadataFilter(JSONValue(parsing: filter)).matches(Self.fields) == isMatch)
    }

    @Test func narrowsASearch() throws {
        let small = try SmallIndex(
            [1960, 1970].map { year in
                SourceDocument(
                    id: "\(year)", source: "s.jsonl", format: .json, text: Array("A wing.".utf8),
                    metadata: [.init("year", .integer(year))])
            })
        let filter = try MetadataFilter(["year": ["$gt": 1965], "format": "json"])
        for technique in Technique.allCases {
            let hits = try Retriever(index: small.index).retrieve(
                technique, terms: ["wing"], limit: 5, selection: DocumentSelection(filter, in: small.index)
            ).hits
            #expect(try small.chunks(of: hits).map(\.documentID) == ["1970"])
        }
    }
}
