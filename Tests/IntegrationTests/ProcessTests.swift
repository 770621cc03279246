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
            let first = try #require(supervisor.guardian)
            kill(first, SIGKILL)
            try eventually("there is another guardian") {
                supervisor.guardian.map { $0 != first } ?? false
            }
            #expect(Processes.zombies(of: supervisor.pid) == [])
            #expect(supervisor.records("guardian.died").count == 1)
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
            let pids = Processes.pids(in: supervisor.directory.file("pids"))
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
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
            #expect(Processes.zombies(of: supervisor.pid) == [])
        }

        // MARK: A supervisor that is told to stop

        @Test func hidesItsGuardianFromASearchByCommandLine() throws {
            let supervisor = try SupervisorProcess()
            let guardian = try #require(supervisor.guardian)
            try eventually("the guardian has another command line") {
                let words = Processes.commandLine(of: guardian).filter { !$0.isEmpty }
                return words == ["sv-guardian"]
            }
            #expect(Processes.commandLine(of: supervisor.pid).contains("serve"))
        }

        @Test func waitsForItsGuardianAtTheEnd() throws {
            for _ in 0..<5 {
                let supervisor = try SupervisorProcess()
                let guardian = try #require(supervisor.guardian)
                supervisor.process.signal(SIGTERM)
                #expect(try supervisor.process.exit() == .exited(code: 0))
                // Not even as an orphaned zombie.
                #expect(Processes.state(guardian) == nil)
            }
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
}
