import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Workers that die or hang with calls in flight.
    @Suite(.timeLimit(.minutes(2)), .needsPython)
    struct CallsOfFailingWorkers {
        // MARK: Crashes

        @Test func triesAnIdempotentCallOnceMoreOnAnotherWorker() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let client = try supervisor.client()
            let marker = supervisor.directory.file("marker")
            let answer = try client.call(
                "rag.execute", #"{"action":"crash_once","marker":"\#(marker)","n":1}"#, metadata: "{}")
            #expect(answer[path: "result.n"] == 1)
            #expect(answer[path: "metadata.attempts"] == 2)
            let crashed = try eventuallyCrashed(supervisor)
            #expect(crashed["worker_id"] != answer[path: "metadata.worker_id"])
        }

        private func eventuallyCrashed(_ supervisor: SupervisorProcess) throws -> JSONValue {
            try eventually("an exit is logged") { !supervisor.records("worker.exited").isEmpty }
            return supervisor.records("worker.exited")[0]
        }

        @Test func givesUpAnIdempotentCallThatCrashesTwoWorkers() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let answer = try supervisor.client().call("rag.execute", #"{"action":"crash","code":9}"#)
            #expect(answer.errorCode == 2001)
            #expect(answer[path: "error.data.exit_code"] == 9)
            #expect(answer[path: "error.data.attempts"] == 2)
        }

        @Test func saysHowAWorkerDiedWithTheCall() throws {
            let supervisor = try SupervisorProcess(workers: 2, fixture: ["--log", "DIR/received"])
            let client = try supervisor.client()
            let exit = try client.call("crash", #"{"code":7,"stderr":"out of luck"}"#)
            #expect(exit.errorCode == 2001 && exit.errorReason == "worker_crashed")
            #expect(exit[path: "error.data.exit_code"] == 7 && exit[path: "error.data.signal"] == .null)
            #expect(exit[path: "error.data.stderr_tail"].stringValue?.contains("out of luck") == true)
            #expect(exit[path: "error.data.uptime_seconds"].doubleValue != nil)
            #expect(exit[path: "error.data.name"] == "WORKER_CRASHED")
            #expect(exit[path: "error.data.worker_id"].stringValue?.hasPrefix("worker_") == true)
            let signal = try client.call("crash", #"{"signal":"SIGSEGV"}"#)
            #expect(signal[path: "error.data.signal"] == "SIGSEGV")
            #expect(signal[path: "error.data.exit_code"] == .null)
            let calls = Files.lines(supervisor.directory.file("received")).filter { $0.contains("\"crash\"") }
            #expect(calls.count == 2, "what is not idempotent is not tried again")
        }

        @Test func reportsAKilledWorkerAsCrashed() throws {
            let supervisor = try SupervisorProcess()
            let pid = try #require(try supervisor.worker()["pid"]?.integerValue)
            for _ in 0..<3 {
                let before = try supervisor.worker()["pid"]
                kill(Int32(before?.integerValue ?? pid), SIGKILL)
                let worker = try supervisor.waitForWorker("it is replaced") {
                    $0["pid"] != before && $0["state"] == "ready"
                }
                #expect(
                    worker[path: "last_exit.signal"] == "SIGKILL"
                        && worker[path: "last_exit.reason"] == "crashed")
                #expect(worker[path: "last_exit.code"] == .null)
            }
            #expect(try supervisor.worker()["restarts"] == 3)
        }

        @Test func survivesAHalfLine() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            let client = try supervisor.client()
            let answer = try client.call("half_line")
            #expect(answer.errorCode == 2001 || answer.errorCode == 1003)
            #expect(try client.call("echo", "[1]")["result"] == [1])
        }

        // MARK: Replies that are none

        @Test func answersOnceWhenAWorkerAnswersTwiceOrForNobody() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            #expect(try client.call("twice", "[1]")["result"] == [1])
            #expect(try client.call("foreign", "[2]")["result"] == [2])
            #expect(try client.call("echo", "[3]")["result"] == [3])
            try client.expectNothing(for: 0.05)
            #expect(try supervisor.worker()["late_replies"] == 3)
        }

        @Test func takesRepliesInAnyOrder() throws {
            let supervisor = try SupervisorProcess(fixture: ["--concurrency", "8"])
            let client = try supervisor.client()
            for index in 1...8 { try client.start("hold", #"{"count":8,"n":\#(index)}"#) }
            for (id, answer) in try client.receiveAll(8) { #expect(answer[path: "result.n"] == .integer(id)) }
        }

        @Test func answers1003ForAReplyThatIsNone() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let answer = try client.call("unreadable")
            #expect(answer.errorCode == 1003)
            let deep = try client.call(
                "raw",
                #"{"text":"\#(String(repeating: "[", count: 70))\#(String(repeating: "]", count: 70))"}"#)
            #expect(deep.errorCode == 1003)
            let big = try client.call("big", #"{"bytes":11000000}"#)
            #expect(big.errorCode == 1003)
            #expect(try client.call("echo", "[1]")["result"] == [1])
        }

        // MARK: Deadlines and cancels

        @Test func answersAtTheDeadlineAndGetsTheSlotBack() throws {
            let supervisor = try SupervisorProcess()
            let client = try supervisor.client()
            let watch = Stopwatch()
            let late = try client.call("sleep", #"{"ms":1000}"#, metadata: #"{"timeout_ms":300}"#)
            print("timeout_ms 300: answered after \(watch.milliseconds) ms")
            #expect(late.errorCode == 1002)
            #expect((0.29...0.6).contains(watch.seconds))
            #expect(try supervisor.worker()["in_flight"] == 1, "the worker still has it")
            #expect(try client.call("echo", "[1]")["result"] == [1], "when the slot is free")
            #expect((0.9...2).contains(watch.seconds))
            #expect(try supervisor.worker()["late_replies"] == 1)
            #expect(try supervisor.worker()["restarts"] == 0)
        }

        @Test func cancelsInBothSpellings() throws {
            let supervisor = try SupervisorProcess(fixture: ["--cancel", "honour", "--log", "DIR/received"])
            let client = try supervisor.client()
            for cancel in [
                #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":ID}}"#,
                #"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":ID,"reason":"bored"}}"#,
            ] {
                let id = try client.start("sleep", #"{"ms":30000}"#)
                try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
                try client.send(cancel.replacing("ID", with: "\(id)"))
                let answer = try client.receiveJSON()
                #expect(answer["id"] == .integer(id) && answer.errorCode == -32800)
                try supervisor.waitForWorker("the slot is free") { $0["in_flight"] == 0 }
                try client.send(cancel.replacing("ID", with: "\(id)"))  // late: ignored
            }
            let received = Files.lines(supervisor.directory.file("received"))
            let numbers = try received.map { try JSONValue(parsing: $0) }
            let calls = numbers.filter { $0["method"] == "sleep" }.map { $0["id"] }
            let cancels = numbers.filter { $0["method"] == "$/cancelRequest" }.map { $0[path: "params.id"] }
            #expect(calls.count == 2 && calls == cancels)
            try client.expectNothing(for: 0.05)
        }

        @Test func cancelsAQueuedCall() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"])
            let client = try supervisor.client()
            try client.start("sleep", #"{"ms":400}"#)
            let queued = try client.start("echo", #"["never"]"#)
            try client.send(#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(queued)}}"#)
            #expect(try client.receiveJSON().errorCode == -32800)
            #expect(try client.receiveJSON()["result"] != nil)
            #expect(!Files.text(supervisor.directory.file("received")).contains("never"))
        }

        @Test func cancelsOnlyCallsOfTheSameConnection() throws {
            let supervisor = try SupervisorProcess(fixture: ["--cancel", "honour"])
            let (owner, other) = (try supervisor.client(), try supervisor.client())
            try owner.start("sleep", #"{"ms":300}"#)
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            try other.send(#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#)
            #expect(try owner.receiveJSON()["result"] != nil)
        }

        @Test func aDisconnectCancels() throws {
            let supervisor = try SupervisorProcess(fixture: ["--cancel", "honour", "--log", "DIR/received"])
            var client: Client? = try supervisor.client()
            try client?.start("sleep", #"{"ms":30000}"#)
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            client = nil
            try supervisor.waitForWorker("the slot is free") { $0["in_flight"] == 0 }
            #expect(Files.text(supervisor.directory.file("received")).contains("$/cancelRequest"))
            #expect(try supervisor.worker()["restarts"] == 0)
        }
    }

    /// Workers that do not come up, and what is said about it.
    @Suite(.timeLimit(.minutes(2)), .needsPython)
    struct WorkersThatDoNotStart {
        private static let quick =
            "restart: { backoff_initial: \"20ms\", backoff_max: \"50ms\", max_deaths: 3 }, health: { interval: \"200ms\" }"

        private func expectTrouble(_ supervisor: SupervisorProcess, _ words: String...) throws {
            let status = try supervisor.status()
            #expect(status["status"] == "unavailable")
            let reasons = status["reasons"]?.text ?? ""
            for word in words {
                #expect(reasons.contains(word), "status: \(reasons)")
                #expect(supervisor.log.contains(word), "log")
            }
        }

        @Test func saysThatACommandIsMissing() throws {
            let supervisor = try SupervisorProcess(
                worker: ["no-such-program-7"], settings: Self.quick, waits: false)
            let worker = try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            #expect(worker["pid"] == .null && worker["worker_id"] == .null)
            try self.expectTrouble(supervisor, "no-such-program-7")
            let watch = Stopwatch()
            let answer = try supervisor.client().call("echo")
            #expect(answer.errorCode == 1001 && answer.errorReason == "no_healthy_worker")
            #expect(answer[path: "error.message"] == "No available workers and max limit reached")
            #expect(watch.seconds < 0.5)
            #expect(supervisor.records("worker.spawn_failed").count == 3, "it stops at quarantine")
        }

        @Test func saysThatACommandIsNotExecutable() throws {
            let directory = try TestDirectory()
            let path = try directory.write("#!/bin/sh\n", to: "tool")
            let supervisor = try SupervisorProcess(
                worker: [path], settings: Self.quick, in: directory, waits: false)
            try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            try self.expectTrouble(supervisor, path, "Permission denied")
        }

        @Test func saysHowAWorkerThatExitsAtOnceDied() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--exit", "3", "--stderr", "cannot load the model"], settings: Self.quick,
                waits: false)
            let worker = try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            #expect(worker[path: "last_exit.code"] == 3)
            #expect(
                worker[path: "last_exit.stderr_tail"].stringValue?.contains("cannot load the model") == true)
            #expect(worker["reason"]?.stringValue?.contains("quarantined") == true)
            try self.expectTrouble(supervisor, "cannot load the model")
            #expect(supervisor.process.isRunning)
        }

        @Test func replacesAWorkerThatIsNeverReady() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--never-ready", "--stderr", "still thinking"], pool: "start_timeout: \"200ms\"",
                settings: Self.quick, waits: false)
            let worker = try supervisor.waitForWorker("its time is over") { $0["last_exit"] != .null }
            #expect(worker[path: "last_exit.reason"] == "start_timeout")
            try self.expectTrouble(supervisor, "still thinking")
        }

        @Test func doesNotUseAnUnhealthyWorker() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--unhealthy"], pool: "start_timeout: \"500ms\"", settings: Self.quick, waits: false
            )
            let worker = try supervisor.waitForWorker("its time is over") { $0["last_exit"] != .null }
            #expect(worker[path: "last_exit.reason"] == "start_timeout")
        }

        @Test func recoversWhenTheProgramAppears() throws {
            let directory = try TestDirectory()
            let tool = directory.file("tool")
            let supervisor = try SupervisorProcess(
                worker: [tool],
                settings: "restart: { backoff_initial: \"20ms\", backoff_max: \"50ms\", max_deaths: 1000 }",
                in: directory, waits: false)
            try supervisor.waitForWorker("it has failed") { $0["last_exit"] != .null }
            let fixture = try Programs.fixtureWorker().map { "'\($0)'" }.joined(separator: " ")
            try directory.write("#!/bin/sh\nexec \(fixture)\n", to: "tool.new", mode: 0o755)
            rename(directory.file("tool.new"), tool)
            try supervisor.waitUntilReady(1)
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
            #expect(try supervisor.status()["status"] == "healthy")
        }

        @Test func recoversFromQuarantineByItself() throws {
            let directory = try TestDirectory()
            let fixture = try Programs.fixtureWorker().map { "'\($0)'" }.joined(separator: " ")
            let supervisor = try SupervisorProcess(
                worker: ["/bin/sh", "-c", "test -e DIR/now || exit 4; exec \(fixture)"], settings: Self.quick,
                in: directory, waits: false)
            try supervisor.waitForWorker("it is quarantined") { $0["state"] == "quarantined" }
            try directory.write("", to: "now")
            try supervisor.waitUntilReady(1, within: 8)  // one try every 5 s while nobody is ready
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }

        @Test func saysThatPrepareFailedAndTriesAgain() throws {
            let directory = try TestDirectory()
            let supervisor = try SupervisorProcess(
                pool:
                    #"prepare: ["/bin/sh", "-c", "test -e ready || { echo no documents yet >&2; exit 6; }"]"#,
                settings: "restart: { backoff_initial: \"200ms\", backoff_max: \"300ms\", max_deaths: 1000 }",
                in: directory, waits: false)
            try eventually("it has failed") { !supervisor.records("pool.prepare_failed").isEmpty }
            let status = try supervisor.status()
            #expect(status["status"] == "unavailable")
            #expect(status[path: "pools.0.workers.0.state"] == "preparing")
            #expect(status[path: "pools.0.workers.0.pid"] == .null)
            try directory.write("", to: "ready")
            try supervisor.waitUntilReady(1)
            let record = try #require(supervisor.records("pool.prepare_failed").first)
            #expect(record.text.contains("no documents yet") && record.text.contains("6"))
        }

        @Test func refusesCallsAtOnceWhilePrepareHasFailed() throws {
            let supervisor = try SupervisorProcess(
                pool: #"prepare: ["/bin/sh", "-c", "echo no documents yet >&2; exit 6"]"#,
                settings: "restart: { backoff_initial: \"30s\", backoff_max: \"30s\" }", waits: false)
            try eventually("it has failed") { !supervisor.records("pool.prepare_failed").isEmpty }
            let answer = try supervisor.client().call("echo")
            #expect(answer.errorCode == 1001 && answer.errorReason == "no_healthy_worker")
            let status = try supervisor.status()
            #expect(status["reasons"]?.text.contains("no documents yet") == true)
            #expect(status[path: "pools.0.workers.0.reason"].stringValue?.contains("prepare") == true)
        }

        @Test func putsAnotherPrepareInThePlaceOfOneThatHangs() throws {
            let supervisor = try SupervisorProcess(
                pool: #"prepare: ["/bin/sh", "-c", "trap '' TERM; sleep 1000"]"#,
                settings: "timeouts: { term_grace: \"200ms\" }", waits: false)
            let answer = try supervisor.client().call(
                "config.update", #"{"pools":[{"prepare":["/bin/sh","-c","exit 0"]}]}"#)
            #expect(answer["result"]?["applied"] == ["pools[0].prepare"])
            try supervisor.waitUntilReady(1)
        }

        @Test func queuesCallsWhileAPoolIsPrepared() throws {
            let supervisor = try SupervisorProcess(
                pool: #"prepare: ["/bin/sh", "-c", "sleep 0.5"]"#, waits: false)
            let status = try supervisor.status()
            #expect(status[path: "pools.0.workers.0.state"] == "preparing")
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }
    }
}
