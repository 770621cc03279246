import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// What a running supervisor tells of itself.
    @Suite(.timeLimit(.minutes(1)), .needsPython)
    struct Events {
        private func follow(_ supervisor: SupervisorProcess, _ arguments: [String]) throws -> ChildProcess {
            let command = try ChildProcess(
                [Programs.supervisor, "events"] + arguments + ["--socket", supervisor.socket])
            try eventually("it has subscribed") { try supervisor.status()["connections"] == 2 }
            return command
        }

        @Test func theCommandPrintsTheDeathOfAWorkerAndEndsWellByControlC() throws {
            let supervisor = try SupervisorProcess()
            let events = try self.follow(supervisor, [])
            kill(try supervisor.workerPIDs()[0], SIGKILL)
            try eventually("it tells all of it: \(events.output)") {
                events.output.contains("pool.recovered")
            }
            let topics = events.output.split(separator: "\n").map { $0.split(separator: " ")[1] }
            for topic in [
                "worker.exited", "pool.degraded", "worker.started", "worker.ready", "pool.recovered",
            ] {
                #expect(topics.contains(Substring(topic)), "\(topics)")
            }
            #expect(events.output.contains("how=\"was killed by SIGKILL\""))
            events.signal(SIGINT)
            #expect(events.wait(for: 5) == .exited(code: 0))
        }

        @Test func theCommandPrintsJSONAndFailsWhenTheConnectionIsLost() throws {
            let supervisor = try SupervisorProcess()
            let events = try self.follow(supervisor, ["worker.*", "log", "--json"])
            kill(try supervisor.workerPIDs()[0], SIGKILL)
            try eventually("it tells of the death") { events.output.contains("worker.ready") }
            for line in events.output.split(separator: "\n") {
                let event = try JSONValue(parsing: String(line))
                #expect(event.objectValue?.map(\.name) == ["topic", "timestamp", "data"])
            }
            supervisor.process.signal(SIGKILL)
            #expect(events.wait(for: 5) == .exited(code: 1))
            #expect(events.errors.contains("the connection to the supervisor is lost"))
        }

        @Test func theCommandRefusesATopicThatIsNone() throws {
            let supervisor = try SupervisorProcess()
            let wrong = try supervisor.command(["events", "worker.raedy"])
            #expect(wrong.exitCode == 1)
            #expect(wrong.errors.contains("did you mean worker.ready?"))
            supervisor.process.signal(SIGTERM)
            _ = supervisor.process.wait(for: 10)
            #expect(try supervisor.command(["events"]).exitCode == 3)
        }

        @Test func aSubscriberThatDoesNotReadSlowsNobody() throws {
            let supervisor = try SupervisorProcess()
            let slow = try supervisor.client()
            #expect(try slow.call("events.subscribe", #"{"topics":["log"]}"#)["result"] != nil)
            let other = try supervisor.client()
            #expect(try other.call("chatter", #"{"bytes":3000000}"#)["error"] == nil)
            #expect(try other.call("ping")["result"] != nil)
            // What it had not room for it is told as a number, as soon as it reads.
            var dropped: Int64 = 0
            var told = 0
            while dropped == 0 {
                let event = try slow.receiveJSON()
                told += 1
                if event[path: "params.topic"] == "events.dropped" {
                    dropped = event[path: "params.data.count"].integerValue ?? 0
                }
            }
            #expect(told > 1 && dropped > 0)
            #expect(try supervisor.status()["status"] == "healthy")
        }

        @Test func systemInfoKnowsTheMachine() throws {
            let supervisor = try SupervisorProcess()
            let info = try supervisor.client().call("system.info")
            #expect(info[path: "result.host"].stringValue?.isEmpty == false)
            #expect((info[path: "result.cores"].integerValue ?? 0) >= 1)
            #expect((info[path: "result.memory_bytes"].integerValue ?? 0) > 1 << 24)
            #expect(info[path: "result.pid"] == .integer(supervisor.pid))
        }
    }
}
