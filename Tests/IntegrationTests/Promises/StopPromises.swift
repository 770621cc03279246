import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// A supervisor that is told to stop finishes what it can, and then really stops.
    @Suite struct Stopping {
        private static let family = [
            "--grandchildren", "plain", "--grandchildren", "setsid", "--pids", "DIR/pids",
        ]

        @Test(
            "P12: SIGTERM with a queue: every call is answered, done or refused, and the exit is 0",
            arguments: FixtureLanguage.available)
        func drainsTheQueue(language: FixtureLanguage) throws {
            let grace = Figures.scaled(1.0, long: 15)
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "2"], language: language,
                settings: "timeouts: { shutdown_grace: \"\(Int(grace * 1000))ms\", term_grace: \"1s\" }, "
                    + "load_balancer: { queue_timeout: \"0s\" }")
            // Four at a time, 100 ms each: more than can be done within the grace.
            let count = Int(grace * 40) * 2
            let clients = try (0..<8).map { _ in try supervisor.client() }
            for index in 0..<min(count, 256) { try clients[index % 8].start("sleep", #"{"ms":100}"#) }
            try eventually("four are in flight, the others wait") {
                (try supervisor.status()[path: "pools.0.queue_depth"].integerValue ?? 0) > 20
            }
            supervisor.process.signal(SIGTERM)
            let watch = Stopwatch()
            var (done, refused) = (0, 0)
            var lastAnswer = 0.0
            for (index, client) in clients.enumerated() {
                for answer in try client.receiveAll((min(count, 256) + 7 - index) / 8, within: grace + 5)
                    .values
                {
                    lastAnswer = max(lastAnswer, watch.seconds)
                    if answer["result"] != nil {
                        done += 1
                    } else if answer.errorCode == 1001, answer.errorReason == "shutting_down" {
                        refused += 1
                    }
                }
                try client.expectEnd()
            }
            #expect(try supervisor.process.exit(within: 5) == .exited(code: 0))
            let gone = watch.seconds
            #expect(done + refused == min(count, 256) && done >= 4)
            #expect(lastAnswer < grace + 0.2 * Figures.margin)
            Figures.row(
                "P12",
                "SIGTERM with \(min(count, 256)) calls open (\(language.rawValue), grace "
                    + "\(Figures.milliseconds(grace))): done, refused, exit 0 after",
                measured: "\(done), \(refused), \(Figures.milliseconds(gone))",
                promised: "all answered by the grace")
        }

        @Test("P12: what is in flight is finished, then nothing of it is left", arguments: [SIGTERM, SIGINT])
        func finishesWhatIsInFlight(signal: Int32) throws {
            let supervisor = try SupervisorProcess(workers: 2, fixture: Self.family, language: .swift)
            let client = try supervisor.client()
            let pids =
                Processes.pids(in: supervisor.directory.file("pids")) + Processes.children(of: supervisor.pid)
            try client.start("sleep", #"{"ms":500,"n":1}"#)
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            if signal == SIGINT {
                kill(-supervisor.pid, SIGINT)  // as a terminal does it, to the foreground group
            } else {
                supervisor.process.signal(signal)
            }
            try eventually("it drains") { !supervisor.records("supervisor.stopping").isEmpty }
            let refused = try supervisor.client().call("echo")
            #expect(refused.errorCode == 1001 && refused.errorReason == "shutting_down")
            #expect(try client.receiveJSON()[path: "result.n"] == 1)
            #expect(try supervisor.process.exit(within: 5) == .exited(code: 0))
            #expect(!Files.exists(supervisor.socket) && !Files.exists("\(supervisor.socket).lock"))
            try eventually(within: 2, "all of \(pids) are gone") { !pids.contains(where: Processes.isAlive) }
        }

        @Test("P12: calls that hang are cut at the end of the grace")
        func cutsAtTheEndOfTheGrace() throws {
            let supervisor = try SupervisorProcess(
                language: .swift, settings: "timeouts: { shutdown_grace: \"300ms\", term_grace: \"200ms\" }")
            let client = try supervisor.client()
            try client.start("hang")
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            supervisor.process.signal(SIGTERM)
            let answer = try client.receiveJSON()
            #expect(answer.errorCode == 1001 && answer.errorReason == "shutting_down")
            #expect(try supervisor.process.exit(within: 5) == .exited(code: 0))
        }

        @Test("P12: a second SIGTERM is fast") func secondSignal() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--ignore-terminate", "--ignore-end"], language: .swift)
            let client = try supervisor.client()
            try client.start("hang")
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            supervisor.process.signal(SIGTERM)
            try eventually("it drains") { !supervisor.records("supervisor.stopping").isEmpty }
            let watch = Stopwatch()
            supervisor.process.signal(SIGTERM)
            #expect(try client.receiveJSON().errorReason == "shutting_down")
            #expect(try supervisor.process.exit() == .exited(code: 0))
            #expect(watch.seconds < 2)
            #expect(!Files.exists(supervisor.socket))
            Figures.row(
                "P12", "a second SIGTERM, with a call and a worker that ignore the first: exit 0 after",
                measured: Figures.milliseconds(watch.seconds), promised: "at once")
        }
    }
}
