import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Too much of something: noise, stderr, calls, connections, output that nobody takes.
    @Suite(.timeLimit(.minutes(2)), .needsPython)
    struct TooMuch {
        // MARK: Workers that say too much

        @Test func replacesAWorkerThatClosesItsOutputAndLives() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let before = try supervisor.worker()["pid"]
            let answer = try client.call("close_output")
            #expect(answer.errorCode == 2001)
            let worker = try supervisor.waitForWorker("it is replaced") {
                $0["pid"] != before && $0["state"] == "ready"
            }
            #expect(worker["restarts"] == 1)
            let replaced = try supervisor.waitForWorker("its end is told") { $0["last_exit"] != .null }
            #expect(replaced[path: "last_exit.reason"] == "stdout_closed")
        }

        // MARK: Clients that ask too much

        /// One read of each connection a tick: what one has sent long before does not come before another's call.
        @Test func hearsOthersBetweenTheReadsOfOneWhoSendsALot() throws {
            let supervisor = try SupervisorProcess()
            let (greedy, other) = (try supervisor.client(), try supervisor.client())
            #expect(try greedy.call("ping")["result"] != nil && other.call("ping")["result"] != nil)
            let ping = Array("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n".utf8)
            let count = 3000
            supervisor.process.signal(SIGSTOP)
            try greedy.sendBytes(Array(repeatElement(ping, count: count).joined()))
            try other.start("metrics.get", #"{"scope":"pool","time_range":"1h"}"#)
            supervisor.process.signal(SIGCONT)
            let heard = try #require(other.receiveJSON()[path: "result.total_requests"].integerValue)
            #expect(heard <= 2 + 64 * 1024 / ping.count + 1)
            for _ in 0..<count { #expect(try greedy.receiveJSON()["id"] == 7) }
        }

        @Test func pausesAClientThatReadsNothing() throws {
            let supervisor = try SupervisorProcess(workers: 2, fixture: ["--concurrency", "16"])
            let (slow, quick) = (try supervisor.client(), try supervisor.client())
            let before = Processes.residentKilobytes(of: supervisor.pid)
            // 200 MB of answers, if nobody stops it.
            var sent = 0
            let request = Array(
                (#"{"jsonrpc":"2.0","id":1,"method":"big","params":{"bytes":1000000}}"# + "\n").utf8)
            let watch = Stopwatch()
            while sent < 200, watch.seconds < 2 {
                switch request.withUnsafeBytes({ slow.socket.send($0) }) {
                case .bytes(let count) where count == request.count: sent += 1
                default: usleep(5000)
                }
            }
            try eventually(within: 20, "its calls are done") {
                try supervisor.status()[path: "pools.0.workers"].arrayValue?.allSatisfy {
                    $0["in_flight"] == 0
                } == true
            }
            var slowest = 0.0
            for index in 0..<50 {
                let call = Stopwatch()
                #expect(try quick.call("echo", "[\(index)]")["result"] == [.integer(index)])
                slowest = max(slowest, call.milliseconds)
            }
            let grown = Processes.residentKilobytes(of: supervisor.pid) - before
            // Every call is answered when it reads at last: with the result, or that there was no room for it.
            var (results, refusals) = (0, 0)
            for _ in 0..<sent {
                let answer = String(decoding: try slow.receive().prefix(500), as: UTF8.self)
                if answer.contains("\"result\"") {
                    results += 1
                } else if answer.contains("slow_consumer") {
                    refusals += 1
                }
            }
            print(
                "a client that reads nothing: memory grew by \(grown) kB, slowest call of another \(slowest) ms, "
                    + "\(results) results and \(refusals) refusals of \(sent) calls")
            #expect(grown < 120_000)
            #expect(slowest < 500)
            #expect(sent > 50 && results + refusals == sent && refusals > 0)
        }

        @Test func givesUpWaitingInTheQueue() throws {
            let supervisor = try SupervisorProcess(settings: "load_balancer: { queue_timeout: \"200ms\" }")
            let client = try supervisor.client()
            try client.start("sleep", #"{"ms":800}"#)
            try client.start("echo")
            let answer = try client.receiveJSON()
            #expect(answer["id"] == 2 && answer.errorCode == 1001 && answer.errorReason == "queue_timeout")
        }

        @Test func limitsCallsInFlightOnAConnection() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--concurrency", "16"], settings: "limits: { in_flight_per_connection: 4 }")
            let (client, other) = (try supervisor.client(), try supervisor.client())
            for _ in 0..<4 { try client.start("sleep", #"{"ms":400}"#) }
            let refused = try client.call("echo")
            #expect(refused.errorCode == 2003 && refused.errorReason == "too_many_in_flight")
            #expect(try other.call("echo")["error"] == nil)
            #expect(try client.receiveAll(4).values.allSatisfy { $0["error"] == nil })
            #expect(try client.call("echo")["error"] == nil)
        }

        @Test func closesAClientThatTakesNothingForTooLong() throws {
            let supervisor = try SupervisorProcess(settings: "limits: { write_stall: \"300ms\" }")
            let slow = try supervisor.client()
            for _ in 0..<3 { try slow.start("big", #"{"bytes":1000000}"#) }
            try eventually("its stall is logged") { !supervisor.records("client.stalled").isEmpty }
            try eventually("it is closed") { try supervisor.status()["connections"] == 1 }
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }

        @Test func refusesACallThatCanNeverFit() throws {
            let supervisor = try SupervisorProcess(settings: "limits: { bytes_per_connection: \"64KiB\" }")
            let client = try supervisor.client()
            let filler = String(repeating: "x", count: 200_000)
            let answer = try client.call("echo", "[\"\(filler)\"]")
            #expect(answer.errorCode == 2003 && answer.errorReason == "memory")
            #expect(try client.call("echo", "[1]")["result"] == [1])
        }

        @Test func limitsConnections() throws {
            let supervisor = try SupervisorProcess(settings: "limits: { connections: 3 }")
            let clients = try (0..<3).map { _ in try supervisor.client() }
            for client in clients { #expect(try client.call("ping")["result"] != nil) }
            let fourth = try supervisor.client()
            let answer = try fourth.receiveJSON()
            #expect(answer.errorCode == 2003 && answer.errorReason == "too_many_connections")
            #expect(answer["id"] == .null)
            try fourth.expectEnd()
            #expect(try clients[0].call("ping")["result"] != nil)
        }

        @Test func survivesAHundredConnectionsThatSendGarbageAndGo() throws {
            let supervisor = try SupervisorProcess()
            for round in 0..<100 {
                let client = try supervisor.client()
                let garbage = (0..<2000).map { _ in UInt8.random(in: 0...255) }
                try client.sendBytes(
                    round.isMultiple(of: 2) ? garbage : Array("Content-Length: 5000\r\n\r\n".utf8) + garbage)
            }
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
            try eventually("all are closed") { try supervisor.status()["connections"] == 1 }
        }
    }
}
