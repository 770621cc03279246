import Protocol
import Testing

@testable import Supervisor

/// `cache.clear`, which also every worker hears (protocol §3).
@Suite struct CacheClearTests {
    private static func openClears(_ scenario: Scenario) -> [(worker: WorkerToken, id: Int64)] {
        scenario.workers.compactMap { worker in
            let message = scenario.messages(to: worker).last { $0["method"] == "cache.clear" }
            return message.flatMap { $0["id"]?.integerValue }.map { (worker, $0) }
        }
    }

    @Test func addsUpWhatWorkersCleared() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a", "b"]) == ["a", "b"])
        scenario.call(client, 1, "cache.clear")
        #expect(scenario.take(client) == [])
        let clears = Self.openClears(scenario)
        #expect(clears.count == 2)
        scenario.reply(clears[0].worker, clears[0].id, ["cleared": ["pipeline": 3, "embedding": 1]])
        scenario.write(
            clears[1].worker,
            #"{"jsonrpc":"2.0","id":\#(clears[1].id),"error":{"code":-32601,"message":"Method not found"}}"#)
        let cleared: JSONValue = ["embedding": 3, "response": 0, "pipeline": 3]
        #expect(try scenario.answer(client)["result"] == ["cleared": cleared])
        #expect(scenario.core.requests.count == 0 && scenario.core.broadcasts.count == 0)
    }

    @Test func namesWorkersThatDidNotDoIt() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.call(client, 1, "cache.clear", params: ["cache_type": "response"])
        let clears = Self.openClears(scenario)
        scenario.write(
            clears[0].worker, #"{"jsonrpc":"2.0","id":\#(clears[0].id),"error":{"code":5001,"message":"no"}}"#
        )
        scenario.pass(.seconds(5))
        let result = try #require(try scenario.answer(client)["result"])
        let ids = clears.map { scenario.core.workers[$0.worker].id }
        #expect(result["failed"]?.arrayValue?.first?["worker_id"]?.stringValue == ids[0])
        #expect(result["failed"]?.arrayValue?.first?["error"]?["code"] == 5001)
        #expect(result["unanswered"] == [.string(ids[1])])
        #expect(scenario.core.requests.count == 0 && scenario.core.broadcasts.count == 0)
    }

    @Test func needsNoFreeSlotAndNoLivingWorker() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.call(client, 2, "cache.clear")
        #expect(Self.openClears(scenario).count == 1, "although its one slot is taken")
        scenario.exit(scenario.workers[0])
        #expect(scenario.take(client).contains { $0["id"] == 2 && $0["result"]?["unanswered"] == nil })
        scenario.call(client, 3, "cache.clear")
        #expect(scenario.take(client).contains { $0["id"] == 3 && $0["result"] != nil })
    }

    @Test func outlivesItsCaller() throws {
        let scenario = Scenario.embedding()
        let client = try scenario.connect()
        scenario.call(client, 1, "cache.clear")
        scenario.tick { $0.disconnected(client, &$1) }
        for (worker, id) in Self.openClears(scenario) { scenario.reply(worker, id, ["cleared": [:]]) }
        #expect(scenario.core.requests.count == 0 && scenario.core.broadcasts.count == 0)
    }

    @Test func isForOperatorsAndKnownTypes() throws {
        let scenario = Scenario.embedding()
        let (client, stranger) = (try scenario.connect(), try scenario.connect(uid: 4711))
        scenario.call(stranger, 1, "cache.clear")
        #expect(try scenario.error(stranger).code == -32001)
        scenario.call(client, 1, "cache.clear", params: ["cache_type": "everything"])
        #expect(try scenario.error(client).code == -32602)
        #expect(Self.openClears(scenario).isEmpty)
    }
}
