import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    /// Our worker as a plain filter.
    @Suite("§4 rag.execute and §5 A worker", .timeLimit(.minutes(1)))
    struct WorkerClauses {
        /// Runs the worker over an index with all these params of `rag.execute` at once.
        private func execute(_ params: [String]) throws -> [JSONValue] {
            let directory = try TestDirectory()
            try Corpus.index(in: directory)
            let calls = params.enumerated().map {
                #"{"jsonrpc":"2.0","id":\#($0),"method":"rag.execute","params":\#($1)}"# + "\n"
            }
            let run = try Command.run(
                [Programs.worker, "serve", "--index", directory.file("index")], input: calls.joined())
            #expect(run.exitCode == 0 && run.errors == "")
            let answers = try run.output.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
            #expect(answers.count == params.count)
            return answers.sorted { $0["id"]?.integerValue ?? 0 < $1["id"]?.integerValue ?? 0 }
        }

        private static let accepted = [
            #""options":{}"#, #""options":{"top_k":1}"#, #""options":{"top_k":100}"#,
            #""options":{"filters":{"year":1999}}"#,
            #""options":{"filters":{"$and":[{"year":{"$gte":1998,"$lte":1999}},{"year":{"$ne":1}}]}}"#,
            #""options":{"filters":{"$or":[{"year":{"$eq":1999}},{"year":{"$in":[1,2]}},{"year":{"$gt":5,"$lt":6}}]}}"#,
            #""options":{"min_score":0.1,"generate":false,"include_documents":false,"explain":true}"#,
            #""options":{"max_tokens":5,"temperature":0.5}"#, #""technique_params":{}"#,
            #""technique_params":{"k1":1.2,"b":0.75}"#,
        ]

        private static let refused: [(members: String, path: String)] = [
            (#""option":{}"#, "option"), (#""options":{"top_k":0}"#, "options.top_k"),
            (#""options":{"top_k":101}"#, "options.top_k"), (#""options":{"topk":5}"#, "options.topk"),
            (#""options":{"generate":"yes"}"#, "options.generate"), (#""options":[]"#, "options"),
            (#""options":{"filters":{"year":{"$near":1}}}"#, "options.filters.year.$near"),
            (#""options":{"filters":{"$not":{}}}"#, "options.filters.$not"),
            (#""technique_params":{"k2":1}"#, "technique_params.k2"),
        ]

        @Test("An unknown key is refused with −32602 and its path; nothing is silently ignored")
        func parameters() throws {
            let answers = try self.execute(
                (Self.accepted + Self.refused.map(\.members)).map {
                    #"{"technique":"bm25","query":"red fox",\#($0)}"#
                })
            for (members, answer) in zip(Self.accepted, answers) {
                #expect(answer[path: "result.success"] == true, "\(members): \(answer.text.prefix(300))")
            }
            for (one, answer) in zip(Self.refused, answers.dropFirst(Self.accepted.count)) {
                #expect(answer.errorCode == -32602, "\(one.members)")
                #expect(answer[path: "error.data.path"].stringValue == one.path, "\(answer.text)")
            }
        }

        @Test(
            "either missing: −32602 `Missing required parameters: technique and query`; query 1 to 8,000 characters"
        )
        func required() throws {
            let missing = ["{}", "[]", #"{"technique":"bm25"}"#, #"{"query":"q"}"#]
            let query = String(repeating: "é", count: 8000)
            let answers = try self.execute(
                missing + [
                    #"{"technique":"bm25","query":"\#(query)"}"#,
                    #"{"technique":"bm25","query":"\#(query)x"}"#,
                    #"{"technique":"bm25","query":""}"#, #"{"technique":"bm25","query":7}"#,
                    #"{"technique":"no_such","query":"q"}"#,
                ])
            for answer in answers.prefix(missing.count) {
                #expect(answer.errorCode == -32602)
                #expect(
                    answer[path: "error.message"] == "Missing required parameters: technique and query")
            }
            #expect(answers[4][path: "result.success"] == true)
            #expect(
                answers[5...7].allSatisfy { $0.errorCode == -32602 && $0[path: "error.data.path"] == "query" }
            )
            #expect(answers[8].errorCode == 3001)
            #expect(
                answers[8][path: "error.message"].stringValue?.hasPrefix("Pipeline not found: no_such")
                    == true)
        }

        private func names(_ value: JSONValue) -> Set<String> { Set((value.objectValue ?? []).map(\.name)) }

        @Test(
            "Result: the members of the page, for each technique; sources as they were given to worker index")
        func result() throws {
            let types = ["bm25": "bm25", "basic": "cosine", "hybrid": "rrf"]
            let techniques = types.keys.sorted()
            let answers = try self.execute(techniques.map { #"{"technique":"\#($0)","query":"red fox"}"# })
            for (technique, answer) in zip(techniques, answers) {
                let result = try #require(answer["result"], "\(answer.text)")
                #expect(
                    self.names(result) == [
                        "success", "technique", "query", "answer", "retrieved_documents", "citations",
                        "performance",
                        "metadata",
                    ])
                #expect(result["technique"]?.stringValue == technique && result["query"] == "red fox")
                let documents = try #require(result["retrieved_documents"]?.arrayValue)
                let members: Set = [
                    "id", "document_id", "chunk_index", "source", "content", "score", "score_type", "rank",
                    "metadata",
                ]
                #expect(documents.allSatisfy { self.names($0).subtracting(["title"]) == members })
                #expect(documents.map { $0["rank"] } == documents.indices.map { .integer($0 + 1) })
                #expect(documents.allSatisfy { $0["score_type"]?.stringValue == types[technique] })
                let sources = Set(documents.compactMap { $0["source"]?.stringValue })
                #expect(sources.isSubset(of: ["docs/a.md", "docs/sub/b.txt", "docs/c.html", "docs/d.json"]))
                let citations = try #require(result["citations"]?.arrayValue)
                #expect(!citations.isEmpty)
                for citation in citations {
                    #expect(
                        self.names(citation) == [
                            "n", "document_id", "chunk_index", "source", "span", "quote",
                        ])
                }
                #expect(
                    self.names(result[path: "performance"]) == [
                        "total_time_ms", "retrieval_time_ms", "generation_time_ms",
                    ])
                #expect(
                    self.names(result[path: "metadata"]).isSuperset(of: [
                        "worker_id", "timestamp", "generator", "index_generation", "num_retrieved",
                        "degraded",
                    ]))
            }
        }

        @Test("When nothing relevant is found, answer says so and success is true")
        func nothingFound() throws {
            let answer = try self.execute([#"{"technique":"bm25","query":"zyzzyva"}"#])[0]
            #expect(answer[path: "result.success"] == true)
            #expect(answer[path: "result.answer"].stringValue?.isEmpty == false)
            #expect(answer[path: "result.citations"] == [])
        }

        @Test(
            "a first word `default` or `worker_…` is taken as the id; another that is no command is refused")
        func firstWord() throws {
            let check = #"{"jsonrpc":"2.0","id":1,"method":"health.check"}"#
            for (words, id) in [
                ([String](), "default"), (["default"], "default"), (["worker_1_abc"], "worker_1_abc"),
                (["serve", "--worker-id", "mine"], "mine"), (["--worker-id", "mine"], "mine"),
            ] {
                let run = try Command.run([Programs.worker] + words, input: check)
                #expect(
                    run.exitCode == 0 && run.output.split(separator: "\n").count == 1,
                    "\(words): \(run.errors)")
                let result = try JSONValue(parsing: run.output)[path: "result"]
                #expect(result["worker_id"]?.stringValue == id && result["status"] == "degraded", "\(words)")
            }
            let unknown = try Command.run([Programs.worker, "idnex"], input: check)
            #expect(unknown.exitCode == 2 && unknown.output == "" && unknown.errors.contains("`index`"))
        }
    }
}
