import CLinux
import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// No orphans, no zombies, no leaked descriptors.
    @Suite struct ProcessesAndDescriptors {
        @Test(
            "P10: nothing outlives a supervisor that is killed, not even what left its group",
            arguments: FixtureLanguage.available)
        func noOrphans(language: FixtureLanguage) throws {
            let directory = try TestDirectory()
            let rounds = Figures.scaled(3, long: 100)
            var slowest = 0.0
            for round in 0..<rounds {
                let supervisor = try SupervisorProcess(
                    workers: 2,
                    fixture: [
                        "--grandchildren", "plain", "--grandchildren", "setsid", "--pids",
                        "DIR/pids-\(round)",
                        "--ignore-terminate", "--ignore-end",
                    ], language: language, in: directory)
                // Every second time in the middle of the calls, or of a worker's start.
                if round % 2 == 1 {
                    for pid in try supervisor.workerPIDs().prefix(1) { kill(pid, SIGKILL) }
                    let client = try supervisor.client()
                    for _ in 0..<20 { try client.start("sleep", #"{"ms":1000}"#) }
                }
                supervisor.process.signal(SIGKILL)
                let watch = Stopwatch()
                _ = try supervisor.process.exit()
                let pids = Processes.pids(in: directory.file("pids-\(round)"))
                #expect(pids.count >= 6)
                try eventually(within: 2, "all of \(pids) are gone") {
                    !pids.contains(where: Processes.isAlive)
                }
                slowest = max(slowest, watch.seconds)
            }
            Figures.row(
                "P10",
                "kill −9 of the supervisor, \(rounds) times (\(language.rawValue)): processes left, "
                    + "until the last is gone",
                measured: "0, \(Figures.milliseconds(slowest))", promised: "0, 2 s")
        }

        @Test("P10: many spawns leave no zombie and no descriptor behind")
        func manySpawns() throws {
            let spawns = Figures.scaled(500, long: 5000)
            let supervisor = try SupervisorProcess(
                workers: 8,
                worker: ["/bin/sh", "-c", "echo x >>DIR/starts"],
                settings:
                    "restart: { max_deaths: 1000000, backoff_initial: \"1ms\", backoff_max: \"1ms\" }, "
                    + "logging: { level: \"error\" }", waits: false)
            let client = try supervisor.client()
            _ = try client.call("ping")
            let path = supervisor.directory.file("starts")
            var worst = 0
            try eventually(within: 120, "\(spawns) have been started") {
                worst = max(worst, Processes.zombies(of: supervisor.pid).count)
                usleep(20_000)
                return Files.bytes(path).count >= spawns * 2
            }
            // Eight workers of four descriptors each, and what the supervisor itself has.
            let descriptors = Processes.descriptorCount(of: supervisor.pid)
            #expect(descriptors <= 8 * 4 + 16)
            // One that is just being reaped is no leak.
            try eventually("no zombies are left") { Processes.zombies(of: supervisor.pid).count <= 8 }
            #expect(worst <= 8)
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit() == .exited(code: 0))
            Figures.row(
                "P10",
                "\(spawns) spawns: descriptors of the supervisor at the end, of \(8 * 4 + 16) that eight workers need",
                measured: "\(descriptors)", promised: "no more")
        }

        @Test(
            "P10: descriptors, zombies and connections are back after many deaths",
            arguments: FixtureLanguage.available)
        func backToTheBaseline(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 2, language: language,
                settings: "restart: { max_deaths: 1000000, backoff_initial: \"10ms\", backoff_max: \"20ms\" }"
            )
            #expect(try supervisor.client().call("echo")["error"] == nil)
            let baseline = Processes.descriptorCount(of: supervisor.pid)
            for _ in 0..<300 {
                let client = try supervisor.client()
                try client.start("ping")
            }
            for _ in 0..<Figures.scaled(20, long: 200) {
                let pids = try supervisor.workerPIDs()
                for pid in pids { kill(pid, SIGKILL) }
                try eventually("the dead are replaced") {
                    let now = try supervisor.workerPIDs()
                    return now.count == 2 && Set(now).isDisjoint(with: pids)
                }
            }
            try supervisor.waitUntilReady(2)
            try eventually("descriptors are back to \(baseline)") {
                Processes.descriptorCount(of: supervisor.pid) <= baseline
            }
            #expect(Processes.zombies(of: supervisor.pid) == [])
            #expect(Processes.children(of: supervisor.pid).count == 3)
            #expect(try supervisor.status()["connections"] == 1)
        }

        @Test("P10: with RLIMIT_NOFILE 64 it serves fewer connections, and still replaces workers")
        func smallDescriptorLimit() throws {
            let supervisor = try SupervisorProcess(workers: 2, language: .swift, descriptorLimit: 64)
            #expect(supervisor.records("limits.connections_lowered").first?["to"] == 36)
            let clients = try (0..<36).map { _ in try supervisor.client() }
            for client in clients { #expect(try client.call("ping")["result"] != nil) }
            let over = try supervisor.client()
            #expect(try over.receiveJSON().errorReason == "too_many_connections")
            let pid = Int32(
                try clients[0].call("supervisor.status")[path: "result.pools.0.workers.0.pid"].integerValue
                    ?? 0)
            kill(pid, SIGKILL)
            try eventually("it is replaced") {
                let worker = try clients[0].call("supervisor.status")[path: "result.pools.0.workers.0"]
                return worker["pid"] != .integer(pid) && worker["state"] == "ready"
            }
            let exchange = try clients[1].call("supervisor.restart", #"{"wait":true}"#)
            #expect(exchange["result"] != nil, Comment(rawValue: exchange.text))
        }

        @Test(
            "P10: when descriptors run out, callers get a typed error, and service when there are some again")
        func outOfDescriptors() throws {
            let supervisor = try SupervisorProcess(
                language: .swift,
                settings: "restart: { backoff_initial: \"10ms\", backoff_max: \"20ms\", max_deaths: 3 }")
            let client = try supervisor.client()
            let baseline = try self.setDescriptorLimit(
                of: supervisor, to: Processes.descriptorCount(of: supervisor.pid) - 2)
            kill(try #require(try supervisor.workerPIDs(through: client).first), SIGKILL)
            try eventually("it cannot be started again") {
                try !supervisor.records("worker.spawn_failed").isEmpty
                    && supervisor.worker(through: client)["state"] == "quarantined"
            }
            let answer = try client.call("echo")
            #expect(
                answer.errorCode == 5002 && answer.errorReason == "spawn_failed",
                Comment(rawValue: answer.text))
            #expect(answer.text.contains("Too many open files"), Comment(rawValue: answer.text))
            #expect(try client.call("ping")["result"] != nil)
            _ = try self.setDescriptorLimit(of: supervisor, to: baseline)
            try eventually(within: 15, "there is a worker again") {
                try client.call("echo", "[1]")["result"] == [1]
            }
        }

        /// - Returns: the limit before.
        private func setDescriptorLimit(of supervisor: SupervisorProcess, to limit: Int) throws -> Int {
            let run = try Command.run(
                [
                    "/bin/sh", "-c",
                    "prlimit --pid \(supervisor.pid) --nofile --noheadings --output SOFT "
                        + "&& prlimit --pid \(supervisor.pid) --nofile=\(limit):",
                ])
            guard run.exitCode == 0, let before = Int(run.output.filter(\.isNumber)) else {
                throw Failure("prlimit: \(run.errors)")
            }
            return before
        }
    }
}

extension SupervisorProcess {
    /// Asked on a connection that is there already.
    fileprivate func worker(through client: Client) throws -> JSONValue {
        try client.call("supervisor.status")[path: "result.pools.0.workers.0"]
    }

    fileprivate func workerPIDs(through client: Client) throws -> [Int32] {
        try self.worker(through: client)["pid"]?.integerValue.map { [Int32($0)] } ?? []
    }
}
