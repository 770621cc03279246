import Protocol
import Testing

@testable import Supervisor

/// A scenario whose workers declare `rag.execute` cacheable, and what tests of the cache say to it.
extension Scenario {
    static func caching(
        workers: Int = 2, epoch: String? = nil, _ configure: (inout Configuration) -> Void = { _ in }
    ) -> Scenario {
        Scenario.ready(
            workers: workers, capabilities: Self.cacheable(epoch: epoch)
        ) {
            $0.health.interval = .seconds(36_000)
            configure(&$0)
        }
    }

    static func cacheable(epoch: String? = nil) -> JSONValue {
        var members: [JSONValue.Member] = [
            .init("max_concurrency", 8), .init("cacheable", ["rag.execute"]), .init("cancel", true),
        ]
        if let epoch { members.append(.init("cache_epoch", .string(epoch))) }
        return .object(members)
    }

    /// Asks for something cacheable.
    func ask(
        _ client: ConnectionToken, _ id: Int, _ query: String = "q", metadata: [String: JSONValue] = [:]
    ) {
        let members = metadata.map { JSONValue.Member($0.key, $0.value) }
        self.call(client, id, "rag.execute", params: ["query": .string(query)], metadata: .object(members))
    }

    /// The call that a worker has and has not answered yet, and the worker.
    func openCall(_ index: Int = 0) throws -> (worker: WorkerToken, call: Int64) {
        let all = self.openCalls()
        try #require(index < all.count, "\(all.count) calls at workers")
        return all[index]
    }

    func openCalls() -> [(worker: WorkerToken, call: Int64)] {
        self.workers.flatMap { worker in
            self.core.workers.contains(worker)
                ? self.core.requests.calls(on: worker).map {
                    (worker: worker, call: Int64(RequestTable.number(of: $0)))
                } : []
        }
    }

    /// Answers the one open call.
    func replyToOpenCall(_ result: JSONValue = "done") throws {
        let (worker, call) = try self.openCall()
        self.reply(worker, call, result)
    }

    func failOpenCall(code: Int = -32603) throws {
        let (worker, call) = try self.openCall()
        self.write(worker, #"{"jsonrpc":"2.0","id":\#(call),"error":{"code":\#(code),"message":"no"}}"#)
    }

    /// Calls of clients that reached workers.
    var sent: Int { self.workers.reduce(0) { $0 + self.calls(on: $1).count } }

    /// What a call is told of the cache.
    func word(_ client: ConnectionToken) throws -> String? {
        try self.answer(client)["metadata"]?["cache"]?.stringValue
    }

    /// Asks, has it answered where it comes to a worker, and says what the cache had to do with it.
    func fetch(
        _ client: ConnectionToken, _ query: String = "q", result: JSONValue = "done",
        metadata: [String: JSONValue] = [:]
    ) throws -> String? {
        let before = self.sent
        self.ask(client, 99, query, metadata: metadata)
        if self.sent > before { try self.replyToOpenCall(result) }
        return try self.word(client)
    }

    func declare(_ worker: WorkerToken, epoch: String) {
        self.write(
            worker,
            ["jsonrpc": "2.0", "method": "worker.capabilities", "params": ["cache_epoch": .string(epoch)]])
    }

    func figure(_ name: String) -> JSONValue? { self.status()["cache"]?["response"]?[name] }

    /// Workers that have no cache of their own answer `cache.clear`.
    func answerClears() {
        for worker in self.workers {
            let message = self.messages(to: worker).last { $0["method"] == "cache.clear" }
            if let id = message?["id"]?.integerValue { self.reply(worker, id, ["cleared": [:]]) }
        }
    }
}
