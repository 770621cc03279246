import Protocol
import Testing

@testable import Supervisor

@Suite struct ConnectionTests {
    @Test func refusesAConnectionOverTheLimit() throws {
        let scenario = Scenario.ready { $0.limits.connections = 2 }
        let first = try scenario.connect()
        _ = try scenario.connect()
        #expect(scenario.core.connectionOpened(Peer(pid: 1, uid: 1)) == nil)
        scenario.tick { $0.disconnected(first, &$1) }
        _ = try scenario.connect()
        let line = SupervisorCore.tooManyConnections(limit: 2)
        let message = try JSONValue(parsing: Array(line.dropLast()))
        #expect(line.last == 0x0A)
        #expect(message["id"] == .null)
        #expect(message["error"]?["code"] == 2003)
        #expect(message["error"]?["data"]?["reason"] == "too_many_connections")
    }

    @Test func answersWhatIsInFlightAfterTheEndOfTheInput() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.call(client, 1)
        scenario.tick { $0.inputEnded(client, &$1) }
        #expect(scenario.effects.closing.isEmpty)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(try scenario.answer(client)["result"] == "done")
        #expect(scenario.effects.closing == [client])
    }

    @Test func cancelsEverythingOfAClientThatIsGone() throws {
        let scenario = Scenario.ready(workers: 1)
        let client = try scenario.connect()
        scenario.send(
            client, #"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"a"}]"#)
        scenario.call(client, 3)
        scenario.tick { $0.disconnected(client, &$1) }
        #expect(scenario.core.requests.queued(in: 0) == 0)
        #expect(scenario.core.batches.count == 0)
        #expect(scenario.messages(to: scenario.workers[0]).last?["method"] == "$/cancelRequest")
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last)
        #expect(scenario.core.requests.inFlight(on: scenario.workers[0]) == 0)
        #expect(scenario.take(client).isEmpty)
    }

    @Test func doesNotReadFromAClientThatIsToldOfOversizeMessagesAndDoesNotRead() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 2 << 20
        Array(#"{"jsonrpc":"2.0","id":1,"method":"job.run","params":["x"#.utf8).withUnsafeBytes { prefix in
            scenario.tick { $0.receivedOversize(prefix: prefix, from: client, &$1) }
        }
        #expect(try scenario.error(client) == Scenario.Failure(-32600, "message_too_large"))
        #expect(scenario.effects.paused == [client])
    }

    @Test func readsNoMoreFromASlowReaderUntilItHasCaughtUp() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 1 << 20 + 1
        scenario.call(client, 1, "ping")
        #expect(scenario.effects.paused == [client])
        scenario.effects.outputBacklogs[client] = 512 << 10
        scenario.tick { _, _ in }
        #expect(scenario.effects.paused == [client])
        scenario.effects.outputBacklogs[client] = 1
        scenario.tick { _, _ in }
        #expect(scenario.effects.paused.isEmpty)
    }

    @Test func goesOnAsSoonAsTheOutputOfTheTickIsSent() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 2 << 20
        scenario.call(client, 1, "ping")
        scenario.core.endTick(&scenario.effects)
        scenario.effects.outputBacklogs[client] = 0  // the flush at the end of the tick took it all
        scenario.core.outputWasFlushed(&scenario.effects)
        #expect(scenario.effects.paused.isEmpty)
    }

    @Test func letsAClientGoThatTakesNothing() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 5
        scenario.tick { core, _ in core.outputWaits(for: client) }
        scenario.pass(.seconds(59))
        scenario.tick { core, _ in core.outputWaits(for: client) }
        scenario.pass(.seconds(59))
        #expect(scenario.effects.aborted.isEmpty)
        scenario.pass(.seconds(1))
        #expect(scenario.effects.aborted == [client])
        #expect(scenario.core.connections.count == 0)
    }

    @Test func keepsAClientThatTakesALittleAllTheTime() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 5_000_000
        scenario.effects.unread[client] = 200_000
        scenario.tick { core, _ in core.outputWaits(for: client) }
        for _ in 0..<5 {
            scenario.pass(.seconds(50))
            scenario.effects.unread[client, default: 0] -= 30_000
        }
        #expect(scenario.effects.aborted.isEmpty)
        scenario.pass(.seconds(74))
        #expect(scenario.effects.aborted == [client], "60 s after it was last seen to take some")
    }

    @Test func keepsAClientThatTookAllUnseen() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        scenario.tick { core, _ in core.outputWaits(for: client) }
        scenario.pass(.seconds(61))
        #expect(scenario.effects.aborted.isEmpty)
    }

    @Test func refusesAMessageItCannotHold() throws {
        let scenario = Scenario.ready()
        let client = try scenario.connect()
        var isHeld = true
        let prefix = Array(#"{"jsonrpc":"2.0","id":"big","method":"#.utf8)
        scenario.effects.bytesHeldByConnections = 257 << 20
        prefix.withUnsafeBytes { bytes in
            scenario.tick { isHeld = $0.mayHold(1 << 16, prefix: bytes, for: client, &$1) }
        }
        #expect(!isHeld)
        let answer = try scenario.answer(client)
        #expect(answer["id"] == "big")
        #expect(answer["error"]?["data"]?["reason"] == "memory")
    }

    @Test func dropsAnAnswerThatDoesNotFitBehindWhatWaits() throws {
        let scenario = Scenario.ready(workers: 1) { $0.limits.bytesPerConnection = 100 }
        let client = try scenario.connect()
        let big = JSONValue.string(String(repeating: "x", count: 200))
        scenario.call(client, 1)
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, big)
        #expect(try scenario.answer(client)["result"] == big, "nothing waits before it")
        scenario.call(client, 2)
        scenario.effects.outputBacklogs[client] = 50
        scenario.reply(scenario.workers[0], scenario.calls(on: scenario.workers[0]).last, big)
        #expect(try scenario.error(client) == .init(2003, "slow_consumer"))
    }

    @Test func isOnTimeWithTheLastLookAtASlowReaderHoweverLateTheOthersWere() throws {
        let scenario = Scenario.ready { $0.health.interval = .seconds(1000) }
        let client = try scenario.connect()
        scenario.effects.outputBacklogs[client] = 1000
        let start = scenario.core.now
        scenario.tick { core, _ in core.outputWaits(for: client) }
        for look in Int64(1)...3 {
            let late = start.advanced(by: .milliseconds(15_200 * look))
            scenario.tick { core, effects in core.advance(to: late, wallClock: 0, &effects) }
        }
        let last = scenario.core.nextDeadline
        #expect(last == start.advanced(by: .seconds(60)))
        scenario.pass(.seconds(15))
        #expect(scenario.effects.aborted == [client])
    }
}
