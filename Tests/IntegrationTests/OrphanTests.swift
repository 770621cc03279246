import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// Where orphans come to the supervisor: as PID 1 of a container, and as a subreaper.
    @Suite(.timeLimit(.minutes(1)))
    struct Orphans {
        /// A worker that leaves orphans behind when it starts, and names them in a file; they end after a moment.
        private static func worker(in directory: TestDirectory) throws -> [String] {
            let script =
                "for i in 1 2 3 4 5; do (sleep 0.3 & echo $! >>'\(directory.path)/orphans'); done; exec \"$@\""
            return try ["/bin/sh", "-c", script, "sh"] + Programs.fixtureWorker(in: .swift)
        }

        private static func waitUntilServing(_ process: ChildProcess, _ directory: TestDirectory) throws
            -> Client
        {
            var client: Client?
            try eventually("it serves; it said \(process.errors)") {
                client = try? Client(directory.file("s"))
                return try client?.call("supervisor.status")[path: "result.status"] == "healthy"
            }
            guard let client else { throw Failure("no client") }
            return client
        }

        /// The children of a process that have ended and were not reaped, after a while in which they may come.
        private static func zombiesLeft(of pid: Int32) throws -> [Int32] {
            try? eventually(within: 3, "all are reaped") {
                Processes.children(of: pid).count { Processes.name($0) == "sleep" } == 0
            }
            return Processes.zombies(of: pid)
        }

        @Test(.needsPython)
        func areReapedByASubreaperThatMissesNoExitOfItsWorkers() throws {
            let directory = try TestDirectory()
            let becomeSubreaper =
                "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
            let process = try ChildProcess(
                try [
                    Programs.python ?? "", "-c", becomeSubreaper, Programs.supervisor, "serve", "--socket",
                    directory.file("s"), "--workers", "2", "--",
                ] + Self.worker(in: directory))
            let client = try Self.waitUntilServing(process, directory)
            // Exits of workers among those of orphans, of which the supervisor learns all at once.
            for code in [3, 4] {
                let crash = try client.call("crash", #"{"code":\#(code)}"#)
                #expect(crash[path: "error.data.exit_code"] == .integer(code), Comment(rawValue: crash.text))
                _ = try Self.waitUntilServing(process, directory)
            }
            let worker = try client.call("supervisor.status")[path: "result.pools.0.workers.1.pid"]
            process.signal(SIGSTOP)
            kill(Int32(worker.integerValue ?? 0), SIGKILL)
            usleep(400_000)
            process.signal(SIGCONT)
            try eventually("the worker's end is seen as it was") {
                try client.call("supervisor.status")[path: "result.pools.0.workers.1.last_exit.signal"]
                    == "SIGKILL"
            }
            _ = try Self.waitUntilServing(process, directory)
            #expect(Files.lines(directory.file("orphans")).count == 25)
            #expect(try Self.zombiesLeft(of: process.pid) == [])
            #expect(Processes.children(of: process.pid).count == 3, "two workers and the guardian")
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
        }

        private static let unshare =
            ["unshare"] + (getuid() == 0 ? [] : ["--user", "--map-root-user"])
            + ["--pid", "--fork", "--mount-proc", "--kill-child"]
        private static let mayUnshare =
            (try? Command.run(Self.unshare + ["true"]).exitCode == 0) ?? false

        @Test(.enabled(if: Orphans.mayUnshare, "unshare --pid is not permitted here"))
        func areReapedByTheFirstProcessOfAContainer() throws {
            let directory = try TestDirectory()
            let process = try ChildProcess(
                try Self.unshare + [
                    Programs.supervisor, "serve", "--socket", directory.file("s"), "--workers", "2", "--",
                ]
                    + Self.worker(in: directory))
            let client = try Self.waitUntilServing(process, directory)
            #expect(try client.call("supervisor.status")[path: "result.pid"] == 1)
            let supervisor = try #require(UnixSocket.owner(of: directory.file("s"))?.pid)
            let crash = try client.call("crash", #"{"code":7}"#)
            #expect(crash[path: "error.data.exit_code"] == 7, Comment(rawValue: crash.text))
            _ = try Self.waitUntilServing(process, directory)
            #expect(Files.lines(directory.file("orphans")).count == 15)
            #expect(try Self.zombiesLeft(of: supervisor) == [])
            #expect(Processes.children(of: supervisor).count == 3, "two workers and the guardian")
            kill(supervisor, SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
            #expect(!Files.exists(directory.file("s")))
        }
    }
}
