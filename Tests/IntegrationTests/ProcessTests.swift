import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// No orphans, no zombies, nothing left behind; and what a worker is born with.
    @Suite(.timeLimit(.minutes(2)), .needsPython)
    struct ProcessesAndEnds {
        private static let family = [
            "--grandchildren", "plain", "--grandchildren", "setsid", "--pids", "DIR/pids",
        ]

        private func guardian(of supervisor: SupervisorProcess) -> Int32? {
            Processes.children(of: supervisor.pid).first { Processes.name($0) == "sv-guardian" }
        }

        private func zombies(of supervisor: SupervisorProcess) -> [Int32] {
            Processes.children(of: supervisor.pid).filter { Processes.state($0) == "Z" }
        }

        // MARK: A supervisor that is killed

        @Test func leavesNoProcessWhenItIsKilled() throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: Self.family + ["--ignore-terminate", "--ignore-end"])
            let pids = Processes.pids(in: supervisor.directory.file("pids"))
            #expect(pids.count == 6 && pids.allSatisfy(Processes.isAlive))
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
            try eventually(within: 2, "all of \(pids) are gone") { !pids.contains(where: Processes.isAlive) }
            // And again, on the socket file that the dead one left.
            #expect(Files.exists(supervisor.socket))
            try supervisor.startAgain()
            try supervisor.waitUntilReady(2)
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }

        @Test func keepsThePromiseWithANewGuardian() throws {
            let supervisor = try SupervisorProcess(fixture: Self.family)
            let first = try #require(self.guardian(of: supervisor))
            kill(first, SIGKILL)
            try eventually("there is another guardian") {
                self.guardian(of: supervisor).map { $0 != first } ?? false
            }
            #expect(self.zombies(of: supervisor) == [])
            #expect(supervisor.records("guardian.died").count == 1)
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
            let pids = Processes.pids(in: supervisor.directory.file("pids"))
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
            try eventually(within: 2, "all of \(pids) are gone") { !pids.contains(where: Processes.isAlive) }
        }

        @Test func leavesNoProcessHoweverOftenItIsKilled() throws {
            let directory = try TestDirectory()
            for _ in 0..<10 {
                let supervisor = try SupervisorProcess(workers: 2, fixture: Self.family, in: directory)
                supervisor.process.signal(SIGKILL)
                _ = try supervisor.process.exit()
            }
            let pids = Processes.pids(in: directory.file("pids"))
            #expect(pids.count >= 60)
            try eventually(within: 2, "all of \(pids) are gone") { !pids.contains(where: Processes.isAlive) }
        }

        @Test func leavesNoPreparationWhenItIsKilled() throws {
            let supervisor = try SupervisorProcess(
                pool:
                    #"prepare: ["/bin/sh", "-c", "echo $$ >pids; setsid sleep 1000 & echo $! >>pids; sleep 1000"]"#,
                waits: false)
            let path = supervisor.directory.file("pids")
            try eventually("it prepares") { Processes.pids(in: path).count == 2 }
            let pids = Processes.pids(in: path)
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
            try eventually(within: 2, "all of \(pids) are gone") { !pids.contains(where: Processes.isAlive) }
        }

        @Test func endsTheGroupOfAWorkerThatDies() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--grandchildren", "plain", "--pids", "DIR/pids"])
            let pids = Processes.pids(in: supervisor.directory.file("pids"))
            kill(pids[0], SIGKILL)
            try eventually("the grandchild of the dead worker is gone") { !Processes.isAlive(pids[1]) }
            try supervisor.waitForWorker("there is another worker") {
                $0["pid"] != .integer(pids[0]) && $0["state"] == "ready"
            }
            #expect(self.zombies(of: supervisor) == [])
        }

        // MARK: A supervisor that is told to stop

        @Test(arguments: [SIGTERM, SIGINT])
        func finishesWhatIsInFlightWhenToldToStop(signal: Int32) throws {
            let supervisor = try SupervisorProcess(workers: 2, fixture: Self.family)
            let client = try supervisor.client()
            let guardian = try #require(self.guardian(of: supervisor))
            let pids = Processes.pids(in: supervisor.directory.file("pids")) + [guardian]
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

        @Test func hidesItsGuardianFromASearchByCommandLine() throws {
            let supervisor = try SupervisorProcess()
            let guardian = try #require(self.guardian(of: supervisor))
            try eventually("the guardian has another command line") {
                let words = Processes.commandLine(of: guardian).filter { !$0.isEmpty }
                return words == ["sv-guardian"]
            }
            #expect(Processes.commandLine(of: supervisor.pid).contains("serve"))
        }

        @Test func waitsForItsGuardianAtTheEnd() throws {
            for _ in 0..<5 {
                let supervisor = try SupervisorProcess()
                let guardian = try #require(self.guardian(of: supervisor))
                supervisor.process.signal(SIGTERM)
                #expect(try supervisor.process.exit() == .exited(code: 0))
                // Not even as an orphaned zombie.
                #expect(Processes.state(guardian) == nil)
            }
        }

        @Test func stopsAtOnceWhenToldTwice() throws {
            let supervisor = try SupervisorProcess(fixture: ["--ignore-terminate", "--ignore-end"])
            let client = try supervisor.client()
            try client.start("hang")
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            supervisor.process.signal(SIGTERM)
            try eventually("it drains") { !supervisor.records("supervisor.stopping").isEmpty }
            let watch = Stopwatch()
            supervisor.process.signal(SIGTERM)
            #expect(try client.receiveJSON().errorReason == "shutting_down")
            #expect(try supervisor.process.exit() == .exited(code: 0))
            print("a second SIGTERM: gone after \(Int(watch.milliseconds)) ms")
            #expect(watch.seconds < 2)
            #expect(!Files.exists(supervisor.socket))
        }

        @Test func stopsWhileAPoolIsPreparedOrCannotStart() throws {
            let preparing = try SupervisorProcess(pool: #"prepare: ["sleep", "1000"]"#, waits: false)
            let stuck = try SupervisorProcess(fixture: ["--exit", "1"], waits: false)
            let silent = try SupervisorProcess(fixture: ["--never-ready"], waits: false)
            try stuck.waitForWorker("it has failed") { $0["last_exit"] != .null }
            for supervisor in [preparing, stuck, silent] {
                let watch = Stopwatch()
                supervisor.process.signal(SIGTERM)
                #expect(try supervisor.process.exit() == .exited(code: 0))
                #expect(watch.seconds < 2)
                #expect(!Files.exists(supervisor.socket))
            }
        }

        @Test func sparesAProcessorWhileNothingHappens() throws {
            let supervisor = try SupervisorProcess(workers: 2)
            func ticks() -> Int {
                let fields = Files.text("/proc/\(supervisor.pid)/stat").split(separator: ")").last?.split(
                    separator: " ")
                return (11...12).reduce(0) { $0 + (Int(fields?[$1] ?? "") ?? 0) }
            }
            let before = ticks()
            sleep(1)
            let spent = ticks() - before
            print("idle: \(spent) ticks of 10 ms in a second")
            #expect(spent <= 1)
        }

        @Test func cutsCallsAtTheEndOfTheGrace() throws {
            let supervisor = try SupervisorProcess(
                settings: "timeouts: { shutdown_grace: \"300ms\", term_grace: \"200ms\" }")
            let client = try supervisor.client()
            try client.start("hang")
            try supervisor.waitForWorker("it is busy") { $0["state"] == "busy" }
            supervisor.process.signal(SIGTERM)
            let answer = try client.receiveJSON()
            #expect(answer.errorCode == 1001 && answer.errorReason == "shutting_down")
            #expect(try supervisor.process.exit(within: 5) == .exited(code: 0))
        }

        // MARK: Bookkeeping

        @Test func givesEverythingBackAfterManyConnectionsAndDeaths() throws {
            let supervisor = try SupervisorProcess(
                workers: 2,
                settings: "restart: { max_deaths: 1000000, backoff_initial: \"10ms\", backoff_max: \"20ms\" }"
            )
            #expect(try supervisor.client().call("echo")["error"] == nil)
            let baseline = Processes.descriptorCount(of: supervisor.pid)
            for _ in 0..<300 {
                let client = try supervisor.client()
                try client.start("ping")
            }
            for _ in 0..<25 {
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
            #expect(self.zombies(of: supervisor) == [])
            #expect(Processes.children(of: supervisor.pid).count == 3)
            #expect(try supervisor.status()["connections"] == 1)
        }

        // MARK: What a worker is born with

        @Test func givesWorkersTheirEnvironment() throws {
            let supervisor = try SupervisorProcess(
                fixture: ["{worker_id}", "x-{pool}-{worker_id}{nothing}"],
                pool: "name: \"p1\", env: { OWN: \"1\" }",
                environment: [
                    "SUPERVISOR_LOG_LEVEL": "info", "NOTIFY_SOCKET": "/x", "LISTEN_FDS": "1", "KEPT": "yes",
                ])
            let born = try supervisor.client().call("introspect")[path: "result"]
            let variables = born[path: "environment"]
            let id = try #require(try supervisor.worker()["worker_id"]?.stringValue)
            #expect(variables["WORKER_ID"]?.stringValue == id)
            #expect(variables["WORKER_POOL"] == "p1")
            #expect(variables["PROJECT_ROOT"]?.stringValue == supervisor.directory.path)
            #expect(variables["SWIFT_BACKTRACE"] == "enable=no")
            #expect(variables["OWN"] == "1" && variables["KEPT"] == "yes")
            let names = (variables.objectValue ?? []).map(\.name)
            #expect(names.filter { $0.hasPrefix("SUPERVISOR_") } == ["SUPERVISOR_INSTANCE"])
            #expect(!names.contains("NOTIFY_SOCKET") && !names.contains("LISTEN_FDS"))
            #expect(born["words"] == [.string(id), .string("x-p1-\(id){nothing}")])
            #expect(born["group"] == born["pid"])
            #expect(born["directory"]?.stringValue == supervisor.directory.path)
        }

        @Test func startsWorkersInTheirPoolsDirectory() throws {
            let directory = try TestDirectory()
            let fixture = try Programs.fixtureWorker().map { "'\($0)'" }.joined(separator: " ")
            try directory.write("#!/bin/sh\nexec \(fixture)\n", to: "sub/tool", mode: 0o755)
            let supervisor = try SupervisorProcess(
                worker: ["./tool"], pool: "directory: \"sub\"", in: directory)
            let born = try supervisor.client().call("introspect")[path: "result"]
            #expect(born["directory"]?.stringValue == directory.file("sub"))
            #expect(born[path: "environment.PROJECT_ROOT"].stringValue == directory.file("sub"))
            _ = try supervisor.command(["stop", "--wait"])
            let other = try SupervisorProcess(
                worker: ["./tool"], pool: "directory: \"sub\", project_root: \"deeper/still\"", in: directory)
            let root = try other.client().call("introspect")[path: "result.environment.PROJECT_ROOT"]
            #expect(root.stringValue == directory.file("sub/deeper/still"))
        }

        @Test func givesWorkersOnlyTheNamesInInheritEnv() throws {
            let supervisor = try SupervisorProcess(
                pool: "inherit_env: [\"PATH\", \"KEPT\"]", environment: ["KEPT": "yes", "DROPPED": "yes"])
            let variables = try supervisor.client().call("introspect")[path: "result.environment"]
            #expect(variables["KEPT"] == "yes" && variables["PATH"] != nil)
            #expect(variables["DROPPED"] == nil && variables["HOME"] == nil)
        }

        @Test func givesWorkersDefaultSignalsAndThreeDescriptors() throws {
            let fixture = try Programs.fixtureWorker().map { "'\($0)'" }.joined(separator: " ")
            let supervisor = try SupervisorProcess(worker: [
                "/bin/sh", "-c",
                "cat /proc/self/status >DIR/status; readlink /proc/$$/fd/* >DIR/descriptors; "
                    + "ls /proc/$$/fd >DIR/numbers; ulimit -n >DIR/limit; exec \(fixture)",
            ])
            let status = Files.lines(supervisor.directory.file("status"))
            for name in ["SigBlk", "SigIgn"] {
                let line = status.first { $0.hasPrefix("\(name):") }
                #expect(line?.hasSuffix("\t0000000000000000") == true, Comment(rawValue: line ?? name))
            }
            // The redirection and what a shell keeps for it are files; ours would be sockets and epoll.
            let descriptors = Files.lines(supervisor.directory.file("descriptors"))
            #expect(!descriptors.contains { $0.contains("socket") || $0.contains("anon_inode") })
            #expect(descriptors.count { $0.hasPrefix("pipe:") } == 2)
            let own = try Command.run(["/bin/sh", "-c", "ulimit -n"]).output
            #expect(Files.text(supervisor.directory.file("limit")) == own, "the original limit")
            let born = try supervisor.client().call("introspect")[path: "result.descriptors"]
            #expect((born.objectValue ?? []).count { $0.value.stringValue?.hasPrefix("pipe:") == true } == 3)
            #expect(!(born.objectValue ?? []).contains { $0.value.stringValue?.hasPrefix("socket:") == true })
        }
    }

    /// Many callers while workers are killed: every call is answered once.
    @Suite(.timeLimit(.minutes(2)), .needsPython)
    struct Storm {
        @Test func answersEveryCallWhileWorkersAreKilled() throws {
            let seconds = getenv("LONG") == nil ? 3.0 : 20.0
            let supervisor = try SupervisorProcess(
                workers: 4, fixture: ["--concurrency", "8"],
                settings: "restart: { max_deaths: 1000000, backoff_max: \"200ms\" }")
            var storm = CallStorm(supervisor, connections: 32)
            try storm.run(for: seconds)
            print(storm.report)
            #expect(storm.answered == storm.sent)
            #expect(storm.duplicates == 0 && storm.foreign == 0)
            #expect(storm.longest < 10)
            #expect(Double(storm.results) >= 0.95 * Double(storm.sent))
            #expect(storm.kills >= Int(seconds / 0.2) / 2)
        }
    }
}

/// Connections that each have one call in flight all the time, and a killer among them.
private struct CallStorm {
    private struct Caller {
        let client: Client
        var nonce = 0
        var isOpen = false
        var sentAt = Stopwatch()
    }

    private let supervisor: SupervisorProcess
    private var callers: [Caller] = []
    private let connections: Int
    private(set) var sent = 0
    private(set) var answered = 0
    private(set) var results = 0
    private(set) var duplicates = 0
    private(set) var foreign = 0
    private(set) var longest = 0.0
    private(set) var kills = 0
    private var reasons: [String: Int] = [:]

    init(_ supervisor: SupervisorProcess, connections: Int) {
        self.supervisor = supervisor
        self.connections = connections
    }

    var report: String {
        "storm: \(self.sent) calls, \(self.answered) answers, \(self.results) results, \(self.kills) kills, "
            + "\(self.duplicates) duplicates, \(self.foreign) foreign, longest \(Int(self.longest * 1000)) ms, "
            + "errors \(self.reasons)"
    }

    mutating func run(for seconds: Double) throws {
        self.callers = try (0..<self.connections).map { _ in Caller(client: try self.supervisor.client()) }
        let watch = Stopwatch()
        var nextKill = 0.2
        while watch.seconds < seconds || self.answered < self.sent {
            let isOver = watch.seconds >= seconds
            guard watch.seconds < seconds + 15 else { return }
            if !isOver {
                for index in self.callers.indices where !self.callers[index].isOpen { try self.call(index) }
            }
            try self.collect()
            if !isOver, watch.seconds >= nextKill {
                nextKill += 0.2
                if let victim = try self.supervisor.workerPIDs().randomElement(), kill(victim, SIGKILL) == 0 {
                    self.kills += 1
                }
            }
        }
        // Nothing comes twice, also not late.
        for caller in self.callers where (try? caller.client.expectNothing(for: 0.002)) == nil {
            self.duplicates += 1
        }
    }

    private mutating func call(_ index: Int) throws {
        self.callers[index].nonce += 1
        self.callers[index].isOpen = true
        self.callers[index].sentAt = Stopwatch()
        let nonce = "\(index)-\(self.callers[index].nonce)"
        // Some are idempotent and so tried again, some are not.
        let method = index % 8 == 0 ? "echo" : "rag.execute"
        try self.callers[index].client.send(
            #"{"jsonrpc":"2.0","id":"\#(nonce)","method":"\#(method)","params":{"nonce":"\#(nonce)"}}"#)
        self.sent += 1
    }

    private mutating func collect() throws {
        var polls = self.callers.map { pollfd(fd: $0.client.socket.raw, events: Int16(POLLIN), revents: 0) }
        guard poll(&polls, nfds_t(polls.count), 20) > 0 else { return }
        for index in polls.indices where polls[index].revents != 0 {
            guard try self.callers[index].client.readMore(within: 0) else {
                throw Failure("connection \(index) was closed; \(self.report)")
            }
            while let message = self.callers[index].client.takeMessage() {
                self.take(try JSONValue(parsing: message), index)
            }
        }
    }

    private mutating func take(_ answer: JSONValue, _ index: Int) {
        let nonce = JSONValue.string("\(index)-\(self.callers[index].nonce)")
        guard answer["id"] == nonce else { return self.foreign += 1 }
        guard self.callers[index].isOpen else { return self.duplicates += 1 }
        self.callers[index].isOpen = false
        self.answered += 1
        self.longest = max(self.longest, self.callers[index].sentAt.seconds)
        if let error = answer.errorReason {
            self.reasons[error, default: 0] += 1
        } else if answer[path: "result.nonce"] == nonce {
            self.results += 1
        } else {
            self.foreign += 1
        }
    }
}
