import Foundation
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    @Suite(
        "§3 Methods on the socket", .timeLimit(.minutes(1)), .sharing { try SupervisorProcess.overCorpus() })
    struct MethodClauses {
        private func result(_ method: String, _ params: String? = nil) throws -> JSONValue {
            let answer = try SharedSupervisor.current.client().call(method, params)
            return try #require(answer["result"], "\(answer.text)")
        }

        private func names(_ value: JSONValue?) -> Set<String> {
            Set((value?.objectValue ?? []).map(\.name))
        }

        /// The table of §3.
        private static let methods = [
            "rag.execute", "rag.stream", "embedding.create", "health.check", "metrics.get",
            "pipeline.initialize",
            "pipeline.destroy", "pipeline.list", "health.detailed", "config.validate", "config.update",
            "config.reload", "system.info", "cache.clear", "ping", "events.subscribe", "events.unsubscribe",
            "rpc.discover", "supervisor.status", "supervisor.restart", "supervisor.drain", "supervisor.scale",
            "supervisor.reload", "supervisor.stop", "supervisor.explain",
        ]

        @Test("rpc.discover: an OpenRPC document of all this; system.info names the same methods")
        func discover() throws {
            let document = try self.result("rpc.discover")
            #expect(document["openrpc"]?.stringValue?.hasPrefix("1.") == true)
            let described = (document["methods"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue }
            let info = try self.result("system.info")
            let named = Set((info["methods"]?.arrayValue ?? []).compactMap(\.stringValue))
            for method in Self.methods {
                #expect(described.contains(method) && named.contains(method), "\(method)")
            }
            #expect(Set(described) == named)
        }

        @Test("The results that the supervisor gives have the members that the table names")
        func members() throws {
            #expect(
                self.names(try self.result("system.info")) == [
                    "version", "protocol_version", "pid", "host", "cores", "memory_bytes", "uptime_seconds",
                    "pools",
                    "methods", "techniques",
                ])
            let health = try self.result("health.detailed")
            #expect(
                self.names(health) == [
                    "status", "workers", "dependencies", "queue", "cache", "uptime_seconds",
                ])
            #expect(["healthy", "degraded", "unavailable"].contains(health["status"]?.stringValue))
            #expect(health["workers"]?.arrayValue?.count == 2)
            let pong = try self.result("ping")
            #expect(self.names(pong) == ["message", "timestamp"] && pong["message"] == "pong")
            let seconds = try #require(pong["timestamp"]?.doubleValue)
            #expect(abs(seconds - Date().timeIntervalSince1970) < 60, "epoch seconds")
            #expect(try self.result("pipeline.list") == [])
            #expect(try self.result("config.validate", "{}") == ["valid": true, "errors": []])
            #expect(try self.result("config.update", "{}") == ["applied": [], "restart_required": []])
            let cleared = try self.result("cache.clear", #"{"cache_type":"all"}"#)["cleared"]
            #expect(self.names(cleared).isSuperset(of: ["embedding", "response", "pipeline"]))
            for type in ["embedding", "response", "pipeline"] {
                let one = try self.result("cache.clear", #"{"cache_type":"\#(type)"}"#)["cleared"]
                #expect(self.names(one) == [type])
            }
        }

        @Test("A method that takes no params is answered whether they are absent or {}")
        func noParams() throws {
            let client = try SharedSupervisor.current.client()
            for method in [
                "ping", "system.info", "health.detailed", "health.check", "pipeline.list", "rpc.discover",
                "supervisor.status", "events.unsubscribe", "metrics.get", "cache.clear",
            ] {
                for params in [nil, "{}"] {
                    let answer = try client.call(method, params)
                    #expect(answer["result"] != nil, "\(method) \(params ?? ""): \(answer.text.prefix(300))")
                }
            }
        }

        // MARK: Figures

        private static let figures: Set = [
            "count", "errors", "avg_time_ms", "min_time_ms", "max_time_ms", "p50_time_ms", "p95_time_ms",
            "p99_time_ms",
        ]

        @Test("metrics.get: every time_range, either scope; by_type has eight figures for each method")
        func metrics() throws {
            _ = try self.result("rag.execute", Corpus.question)
            for range in ["1m", "5m", "15m", "1h", "6h", "24h", "7d"] {
                for scope in ["worker", "pool"] {
                    let figures = try self.result(
                        "metrics.get", #"{"time_range":"\#(range)","scope":"\#(scope)"}"#)
                    let names: Set = ["total_requests", "total_errors", "error_rate", "by_type"]
                    #expect(
                        self.names(figures).isSuperset(
                            of: names.union([scope == "pool" ? "workers" : "worker_id"])))
                    let types = figures["by_type"]?.objectValue ?? []
                    #expect(types.allSatisfy { self.names($0.value) == Self.figures }, "\(figures.text)")
                }
            }
            let workers = try self.result("metrics.get", #"{"scope":"pool"}"#)["workers"]?.objectValue ?? []
            #expect(workers.allSatisfy { $0.name.hasPrefix("worker_") && $0.value["by_type"] != nil })
            #expect(!workers.isEmpty)
        }

        @Test("by_type … at most 200; the rest is `other`")
        func manyMethods() throws {
            let supervisor = try SupervisorProcess(
                fixture: [
                    "--concurrency", "8", "--idempotent",
                    (0..<250).map { "m\($0).run" }.joined(separator: ","),
                ],
                language: .swift)
            let client = try supervisor.client()
            for number in 0..<250 { try client.start("m\(number).run", "{}") }
            #expect(try client.receiveAll(250).values.allSatisfy { $0["result"] != nil })
            let figures = try client.call("metrics.get", #"{"scope":"pool"}"#)["result"]
            let types = try #require(figures?["by_type"]?.objectValue)
            #expect(types.count <= 201)
            let counted = types.compactMap { $0.value["count"]?.integerValue }.reduce(0, +)
            #expect(figures?["total_requests"]?.integerValue == counted)
            #expect(types.first { $0.name == "other" }?.value["count"]?.integerValue ?? 0 >= 50)
        }

        // MARK: Embeddings

        @Test("embedding.create: string or [string] → {model, dimensions, embeddings} in the order asked")
        func embeddings() throws {
            let one = try self.result("embedding.create", #"{"input":"the red fox"}"#)
            #expect(self.names(one) == ["model", "dimensions", "embeddings"])
            let dimensions = try #require(one["dimensions"]?.integerValue)
            #expect(one["embeddings"]?.arrayValue?.map { $0.arrayValue?.count } == [Int(dimensions)])
            let texts = #"{"input":["a dog","the red fox","a dog"]}"#
            let first = try self.result("embedding.create", texts)
            let rows = try #require(first["embeddings"]?.arrayValue)
            #expect(rows.count == 3 && rows[0] == rows[2] && rows[0] != rows[1])
            #expect(rows[1] == one["embeddings"]?.arrayValue?[0])
            #expect(try self.result("embedding.create", texts).text == first.text, "hit or miss")
            let model = try #require(one["model"])
            let named = try self.result("embedding.create", #"{"input":["a dog"],"model":\#(model.text)}"#)
            #expect(named["embeddings"]?.arrayValue == [rows[0]])
            for wrong in ["{}", #"{"input":7}"#, #"{"input":["a",7]}"#, #"{"input":"a","modle":"m"}"#] {
                let answer = try SharedSupervisor.current.client().call("embedding.create", wrong)
                #expect(answer.errorCode == -32602, "\(wrong)")
            }
        }

        // MARK: Pipelines

        @Test("pipeline_id is TECHNIQUE_ and 8 hex digits: the same config, the same pipeline")
        func pipelines() throws {
            let client = try SharedSupervisor.current.client()
            func initialize(_ config: String) throws -> String {
                let answer = try client.call(
                    "pipeline.initialize", #"{"technique":"bm25","config":\#(config)}"#)
                return try #require(answer[path: "result.pipeline_id"].stringValue, "\(answer.text)")
            }
            let id = try initialize(#"{"options":{"top_k":1,"generate":false}}"#)
            #expect(id.wholeMatch(of: /bm25_[0-9a-f]{8}/) != nil, "\(id)")
            #expect(try initialize(#"{ "options": {"generate":false, "top_\u006b": 1.0} }"#) == id)
            let other = try initialize(#"{"options":{"top_k":2}}"#)
            #expect(other != id)
            let list = try client.call("pipeline.list")["result"]?.arrayValue ?? []
            #expect(
                list.map { self.names($0) }
                    == [Set](repeating: ["pipeline_id", "technique", "state"], count: 2))
            let answer = try client.call("rag.execute", #"{"technique":"\#(id)","query":"red fox"}"#)
            #expect(answer[path: "result.retrieved_documents"].arrayValue?.count == 1, "\(answer.text)")
            #expect(answer[path: "result.metadata.pipeline_id"].stringValue == id)
            for known in [id, other] {
                let destroyed = try client.call("pipeline.destroy", #"{"pipeline_id":"\#(known)"}"#)
                #expect(destroyed["result"] == .null && destroyed["error"] == nil)
            }
            let again = try client.call("pipeline.destroy", #"{"pipeline_id":"\#(id)"}"#)
            #expect(again.errorCode == 3001)
            let gone = try client.call("rag.execute", #"{"technique":"\#(id)","query":"red fox"}"#)
            #expect(gone.errorCode == 3001)
            #expect(gone[path: "error.message"].stringValue?.hasPrefix("Pipeline not found: \(id)") == true)
            #expect(try client.call("pipeline.list")["result"] == [])
        }

        // MARK: Secrets and refusals

        @Test("Values of env … are shown as \"…\" everywhere")
        func secrets() throws {
            for method in ["supervisor.status", "system.info", "health.detailed", "rpc.discover"] {
                #expect(!(try self.result(method).text.contains("k-secret")), "\(method)")
            }
            let client = try SharedSupervisor.current.client()
            let wrong = try client.call("config.validate", #"{"pools":[{"env":{"KEY":77123}}]}"#)
            #expect(wrong[path: "result.valid"] == false && !wrong.text.contains("77123"))
        }

        @Test(
            "A technique that no pool declares: 1001, not retryable, Pipeline not found: X with the nearest")
        func unknownTechnique() throws {
            let client = try SharedSupervisor.current.client()
            let answer = try client.call("rag.execute", #"{"technique":"bm52","query":"q"}"#)
            #expect(answer.errorCode == 1001 && answer.errorReason == "no_worker_for_technique")
            #expect(answer[path: "error.data.retryable"] == false)
            let message = try #require(answer[path: "error.message"].stringValue)
            #expect(message.hasPrefix("Pipeline not found: bm52") && message.contains("bm25"))
            let pipeline = try client.call("rag.execute", #"{"technique":"bm25_00000000","query":"q"}"#)
            #expect(pipeline.errorCode == 3001)
        }
    }
}
