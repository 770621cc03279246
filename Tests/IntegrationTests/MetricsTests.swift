import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `metrics.get`, with real workers.
    @Suite(.timeLimit(.minutes(5)))
    struct Metrics {
        /// What a client counts of its own calls.
        private struct Counts: Equatable {
            var calls: Int64 = 0
            var errors: Int64 = 0
        }

        private static let isLong = getenv("PROMISES").map { String(cString: $0) } == "long"

        private static func makeCall(_ client: Client, _ random: inout SeededGenerator) throws -> (
            Int, String
        ) {
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<20:
                (try client.start("fail", #"{"text":"{\"code\":7,\"message\":\"injected\"}"}"#), "fail")
            case 20..<25: (try client.start("unreadable", "{}"), "unreadable")
            case 25..<27: (try client.start("sleep", #"{"ms":20}"#, metadata: #"{"timeout_ms":2}"#), "sleep")
            case 27..<35: (try client.start("ping"), "ping")
            case 35..<40: (try client.start("config.nonsense"), "other")
            case 40..<45: (try client.start("nothing_of_that_name"), "other")
            case 45..<50: (try client.start("rag.execute", #"{"action":"echo"}"#), "rag.execute")
            default: (try client.start("echo", "{}"), "echo")
            }
        }

        /// 100,000 calls in the long form: `PROMISES=long swift test --filter IntegrationTests.Metrics`.
        @Test func agreeExactlyWithWhatClientsCounted() throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "8"], language: .swift,
                settings: "cache: { cacheable_methods: [\"rag.execute\"] }")
            let clients = try (0..<4).map { _ in try supervisor.client() }
            var random = SeededGenerator(seed: 5)
            var counts: [String: Counts] = [:]
            let rounds = Self.isLong ? 1250 : 50
            // Known from here on: until its first answer a method that nobody declared is one of the others.
            for method in ["echo", "sleep"] { _ = try clients[0].call(method, #"{"ms":0}"#) }
            _ = try clients[0].call("fail", #"{"text":"{\"code\":1,\"message\":\"\"}"}"#)
            _ = try clients[0].call("metrics.get", #"{"scope":"pool","reset":true}"#)
            for _ in 0..<rounds {
                var asked: [[Int: String]] = []
                for client in clients {
                    let calls = try (0..<20).map { _ in try Self.makeCall(client, &random) }
                    asked.append(Dictionary(uniqueKeysWithValues: calls))
                }
                for (client, methods) in zip(clients, asked) {
                    for (id, answer) in try client.receiveAll(20) {
                        let method = try #require(methods[id])
                        counts[method, default: Counts()].calls += 1
                        if answer["error"] != nil { counts[method]?.errors += 1 }
                    }
                }
            }
            // Nobody has ever answered it with a reply.
            let unreadable = counts.removeValue(forKey: "unreadable") ?? Counts()
            #expect(unreadable.calls > 0)
            counts["other"]?.calls += unreadable.calls
            counts["other"]?.errors += unreadable.errors
            counts["metrics.get"] = Counts(calls: 1)
            try Self.check(supervisor, counts)
        }

        private static func check(_ supervisor: SupervisorProcess, _ counts: [String: Counts]) throws {
            let figures = try supervisor.client().call("metrics.get", #"{"scope":"pool","time_range":"1h"}"#)[
                path: "result"]
            let calls = counts.values.reduce(0) { $0 + $1.calls }
            let errors = counts.values.reduce(0) { $0 + $1.errors }
            #expect(figures["total_requests"]?.integerValue == calls)
            #expect(figures["total_errors"]?.integerValue == errors)
            var found: [String: Counts] = [:]
            for member in figures["by_type"]?.objectValue ?? [] {
                found[member.name] = Counts(
                    calls: member.value["count"]?.integerValue ?? -1,
                    errors: member.value["errors"]?.integerValue ?? -1)
            }
            #expect(found == counts)
            let workers = try #require(figures["workers"]?.objectValue)
            #expect(workers.count == 2)
            #expect(workers.allSatisfy { $0.value["total_requests"]?.integerValue ?? 0 > calls / 8 })
            print("metrics: \(calls) calls, \(errors) errors, by \(found.count) methods")
        }

        @Test func areTheWorkersOwnWhereThePoolIsNotMeant() throws {
            let supervisor = try SupervisorProcess(workers: 1, worker: [Programs.worker])
            let client = try supervisor.client()
            _ = try client.call("rag.execute", "{}")
            _ = try client.call("metrics.get", #"{"reset":true}"#)
            let answer = try client.call("metrics.get", #"{"time_range":"1m"}"#)
            #expect(answer[path: "result.worker_id"].stringValue != nil)
            // The call that reset is the first that is counted anew.
            #expect(answer[path: "result.total_requests"] == 1)
            #expect(answer[path: "result.window.since"] == "reset")
            let wrong = try client.call("metrics.get", #"{"time_range":"2m"}"#)
            #expect(wrong.errorCode == -32602)
        }
    }
}
