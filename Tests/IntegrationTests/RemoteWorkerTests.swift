import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Workers on another host, reached with ssh: here with a server on the loopback.
    @Suite(
        .timeLimit(.minutes(2)),
        .enabled(
            if: SecureShellServer.isPossible,
            "sshd is missing, or does not let this user in: install openssh-server"))
    struct RemoteWorkers {
        private let server: SecureShellServer

        init() throws { self.server = try SecureShellServer() }

        /// Health checks often enough to find out in a test's time.
        private func serve(_ fixture: String = "") throws -> SupervisorProcess {
            let line =
                "WORKER_ID={worker_id} exec \(Programs.fixtureProgram) --concurrency 4 \(fixture) {worker_id} {pool}"
            let supervisor = try SupervisorProcess(
                workers: 2, worker: self.server.command(line),
                settings: "health: { interval: \"300ms\", timeout: \"300ms\", unhealthy_threshold: 2 }, "
                    + "timeouts: { term_grace: \"300ms\" }", waits: false)
            // Two handshakes at once take many seconds on a machine that has other work.
            try supervisor.waitUntilReady(2, within: 60)
            return supervisor
        }

        /// The process on the far side of a worker, and the one of sshd that it is a child of.
        private func farSide(_ client: Client) throws -> (worker: Int32, session: Int32, workerID: String) {
            let answer = try client.call("whoami")
            let pid = Int32(answer[path: "result.pid"].integerValue ?? 0)
            let fields = Files.text("/proc/\(pid)/stat").split(separator: ")").last?.split(separator: " ")
            return (
                pid, Int32(fields?[1] ?? "") ?? 0, answer[path: "result.worker_id"].stringValue ?? ""
            )
        }

        private func nearSide(of workerID: String, _ supervisor: SupervisorProcess) throws -> Int32 {
            let workers = try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []
            let worker = workers.first { $0["worker_id"]?.stringValue == workerID }
            return Int32(try #require(worker?["pid"]?.integerValue))
        }

        @Test func areCalledAndToldTheirName() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            #expect(try client.call("echo", #"{"text":"né\n"}"#)[path: "result.text"] == "né\n")
            let born = try client.call("introspect", metadata: "{}")
            let id = try #require(born[path: "metadata.worker_id"].stringValue)
            #expect(born[path: "result.words"] == [.string(id), "default"])
            #expect(born[path: "result.environment.WORKER_ID"].stringValue == id)
            let big = try client.call("echo", "[\"\(String(repeating: "x", count: 5_000_000))\"]")
            #expect(big["result"] != nil)
            let pids = try (0..<2).map { _ in try self.farSide(client).worker }
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit() == .exited(code: 0))
            try eventually("nothing is left on the far side") { !pids.contains(where: Processes.isAlive) }
        }

        /// Which process of the link stands still.
        enum Frozen: CaseIterable { case nearSide, farSide }

        @Test(arguments: Frozen.allCases)
        func areReplacedWhenTheirLinkStandsStill(frozen: Frozen) throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            let far = try self.farSide(client)
            let near = try self.nearSide(of: far.workerID, supervisor)
            let stopped = frozen == .nearSide ? near : far.session
            kill(stopped, SIGSTOP)
            defer { kill(stopped, SIGCONT) }
            let watch = Stopwatch()
            // Two of these four are on it; who waits for them is answered by the deadline.
            for _ in 0..<4 { try client.start("echo", "[1]", metadata: #"{"timeout_ms":400}"#) }
            let answers = try client.receiveAll(4)
            #expect(watch.seconds < 0.9)
            #expect(answers.values.allSatisfy { $0["result"] != nil || $0.errorCode == 1002 })
            #expect(answers.values.contains { $0["result"] != nil }, "the other worker serves")
            try eventually("it is replaced") {
                try supervisor.workerPIDs().count == 2 && !supervisor.workerPIDs().contains(near)
            }
            print("ssh, \(frozen) stopped: replaced after \(Figures.milliseconds(watch.seconds))")
            try supervisor.waitUntilReady(2)
            for _ in 0..<4 { #expect(try client.call("echo", "[1]")["result"] == [1]) }
            #expect(supervisor.records("worker.replaced").contains { $0["reason"] == "unhealthy" })
            kill(stopped, SIGCONT)
            try eventually("the one on the far side sees the end of its input") {
                !Processes.isAlive(far.worker)
            }
        }

        @Test(arguments: Frozen.allCases)
        func areReplacedAtOnceWhenTheirLinkIsCut(cut: Frozen) throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            let far = try self.farSide(client)
            let near = try self.nearSide(of: far.workerID, supervisor)
            for _ in 0..<2 { try client.start("sleep", #"{"ms":3000}"#) }
            try eventually("one is in flight on each") {
                (try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []).allSatisfy {
                    $0["in_flight"] == 1
                }
            }
            let watch = Stopwatch()
            kill(cut == .nearSide ? near : far.session, SIGKILL)
            let lost = try client.receiveJSON()
            #expect(lost.errorCode == 2001)
            #expect(watch.seconds < 0.5)
            print("ssh, \(cut) killed: its call failed after \(Figures.milliseconds(watch.seconds))")
            try eventually("the one on the far side sees the end of its input") {
                !Processes.isAlive(far.worker)
            }
            #expect(try client.receiveJSON()["result"] != nil, "the other's call is not touched")
            try supervisor.waitUntilReady(2)
        }

        @Test func endWithASupervisorThatIsKilled() throws {
            let supervisor = try self.serve()
            let client = try supervisor.client()
            let pids = try (0..<2).map { _ in try self.farSide(client).worker }
            supervisor.process.signal(SIGKILL)
            _ = try supervisor.process.exit()
            try eventually("nothing is left on the far side") { !pids.contains(where: Processes.isAlive) }
        }
    }
}
