import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Whoever stops reading, or writes without end, holds up nobody else.
    @Suite struct Wedges {
        /// How others fare while something is stuck: one call after another on another worker or of the supervisor's.
        private struct Others {
            var before: Double
            var during: Double
        }

        /// Measures the calls of others for a second before, and then while the body goes on.
        private func watchOthers(_ supervisor: SupervisorProcess, while body: () throws -> Void) throws
            -> Others
        {
            let calls: [(method: String, params: String?, metadata: String?)] = [
                ("ping", nil, nil), ("echo", "[1]", nil),
            ]
            let before = Prober(supervisor, pause: 0.002, calls)
            usleep(500_000)
            let calm = try before.stop()
            let during = Prober(supervisor, pause: 0.002, calls)
            try body()
            let stuck = try during.stop()
            #expect(calm.allSatisfy { $0.code == nil } && stuck.allSatisfy { $0.code == nil })
            return Others(before: calm.percentile(99), during: stuck.percentile(99))
        }

        private func judge(_ others: Others, _ what: String) {
            #expect(others.during < max(0.02, others.before * 3) * Figures.margin)
            Figures.row(
                "P7", "\(what): p99 of the calls of others, before and meanwhile",
                measured: "\(Figures.milliseconds(others.before)), \(Figures.milliseconds(others.during))",
                promised: "unchanged")
        }

        @Test("P7: 10 MiB of stderr before a reply", arguments: FixtureLanguage.available)
        func floodOfErrors(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(workers: 2, language: language)
            let loud = try supervisor.client()
            let others = try self.watchOthers(supervisor) {
                for _ in 0..<Figures.scaled(1, long: 20) {
                    let answer = try loud.call("chatter", #"{"bytes":10485760}"#, within: 60)
                    #expect(answer["result"] == "said")
                }
            }
            self.judge(others, "10 MiB of stderr before a reply (\(language.rawValue))")
        }

        @Test("P7: a reply of 5 MiB to a client that reads 1 KiB a second")
        func slowReader() throws {
            let supervisor = try SupervisorProcess(workers: 2, language: .swift)
            let slow = try supervisor.client()
            try slow.start("big", #"{"bytes":5242880}"#)
            let others = try self.watchOthers(supervisor) {
                var byte = [UInt8](repeating: 0, count: 1024)
                for _ in 0..<Figures.scaled(2, long: 60) {
                    let taken = recv(slow.socket.raw, &byte, byte.count, Int32(MSG_PEEK))
                    #expect(taken == 1024, "it waits for the client, who takes 1 KiB of it")
                    try slow.take(1024)
                    sleep(1)
                }
            }
            // It was not given up: now the rest comes at once.
            let answer = try slow.receive(within: 20)
            #expect(answer.count > 5_242_880)
            self.judge(others, "a reply of 5 MiB to a client that reads 1 KiB a second")
        }

        /// The kernel calls its socket writable only when three quarters of what it holds were read.
        @Test("P7: a client that reads too slowly for its socket to get writable is not given up")
        func slowerThanTheSocket() throws {
            let supervisor = try SupervisorProcess(
                language: .swift, settings: "limits: { write_stall: \"1s\" }")
            let slow = try supervisor.client()
            try slow.start("big", #"{"bytes":5242880}"#)
            for _ in 0..<8 {
                usleep(400_000)
                try slow.take(32 << 10)
            }
            let answer = try slow.receive(within: 20)
            #expect(answer.count > 5_242_880)
            #expect(supervisor.records("client.stalled").isEmpty)
        }

        @Test("P7: a worker that stops reading its stdin", arguments: FixtureLanguage.available)
        func deafWorker(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                workers: 2, fixture: ["--concurrency", "50"], language: language)
            let client = try supervisor.client()
            let seconds = Figures.scaled(1.5, long: 20)
            let filler = String(repeating: "x", count: 20_000)
            _ = try client.call("stop_reading", #"{"ms":\#(Int(seconds * 1000))}"#)
            // Of the others' calls only ping: echo may be given to the worker that does not read.
            let pings = Prober(supervisor, pause: 0.002, [("ping", nil, nil)])
            for _ in 0..<40 { try client.start("echo", "[\"\(filler)\"]") }
            let answers = try client.receiveAll(40, within: seconds + 10)
            #expect(answers.values.allSatisfy { $0["result"] != nil })
            let samples = try pings.stop()
            #expect(samples.percentile(99) < 0.02 * Figures.margin)
            Figures.row(
                "P7", "a worker that stops reading its stdin (\(language.rawValue)): p99 of ping meanwhile",
                measured: Figures.milliseconds(samples.percentile(99)), promised: "unchanged")
        }

        @Test("P7: a log that takes no line: a pipe that nobody reads, a device that is full")
        func logThatTakesNothing() throws {
            let directory = try TestDirectory()
            let pipe = directory.file("log")
            try #require(mkfifo(pipe, 0o600) == 0)
            // Opened for both, so that it has a reader who never reads.
            let reader = FileDescriptor(owning: open(pipe, O_RDWR | O_CLOEXEC))
            for path in [pipe, "/dev/full"] {
                let supervisor = try SupervisorProcess(
                    workers: 2, language: .swift, settings: "logging: { file: \"\(path)\" }")
                let loud = try supervisor.client()
                let others = try self.watchOthers(supervisor) {
                    for _ in 0..<Figures.scaled(2, long: 20) {
                        let answer = try loud.call("chatter", #"{"bytes":1048576}"#, within: 60)
                        #expect(answer["result"] == "said")
                    }
                }
                self.judge(others, path == pipe ? "a log pipe that stalls" : "a full disk for the log")
                supervisor.process.signal(SIGTERM)
                #expect(try supervisor.process.exit() == .exited(code: 0))
            }
            _ = reader.wait(for: 0)
        }

        @Test("P7: standard error that nobody reads") func stalledStandardError() throws {
            let directory = try TestDirectory()
            let pipe = directory.file("log")
            try #require(mkfifo(pipe, 0o600) == 0)
            let reader = FileDescriptor(owning: open(pipe, O_RDWR | O_CLOEXEC))
            let process = try ChildProcess(
                [
                    "/bin/sh", "-c", "exec \"$@\" 2>'\(pipe)'", "sh", Programs.supervisor, "serve",
                    "--socket", directory.file("s"), "--",
                ] + Programs.fixtureWorker(in: .swift))
            try eventually("it listens") { (try? UnixSocket.connect(to: directory.file("s"))) != nil }
            let client = try Client(directory.file("s"))
            #expect(try client.call("chatter", #"{"bytes":1048576}"#, within: 20)["result"] == "said")
            #expect(try client.call("echo", "[1]")["result"] == [1])
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
            _ = reader.wait(for: 0)
        }

        @Test(
            "P7: a disk that is full for a while",
            .enabled(if: SmallDisk.isPossible, "only root may mount a disk"))
        func fullDisk() throws {
            let directory = try TestDirectory()
            let disk = try SmallDisk(in: directory)
            let supervisor = try SupervisorProcess(
                workers: 2, language: .swift, settings: "logging: { file: \"\(disk.path)/log\" }",
                in: directory)
            let client = try supervisor.client()
            let others = try self.watchOthers(supervisor) {
                for _ in 0..<Figures.scaled(5, long: 20) {
                    let answer = try client.call("chatter", #"{"bytes":524288}"#, within: 20)
                    #expect(answer["result"] == "said")
                }
            }
            self.judge(others, "a disk that is full")
            // Room again: the log goes on, and says how much of it is missing.
            try disk.enlarge()
            try eventually("what is missing is told") {
                _ = try client.call("chatter", #"{"bytes":10240}"#)
                return Files.text("\(disk.path)/log").contains("log.dropped")
            }
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit() == .exited(code: 0))
        }
    }
}

/// A file system in memory that holds 256 KiB, unmounted when its owner goes.
private final class SmallDisk {
    let path: String
    private let directory: TestDirectory

    static let isPossible: Bool = {
        guard let directory = try? TestDirectory() else { return false }
        return (try? SmallDisk(in: directory)) != nil
    }()

    init(in directory: TestDirectory) throws {
        self.directory = directory
        self.path = directory.file("disk")
        mkdir(self.path, 0o755)
        guard mount("tmpfs", self.path, "tmpfs", 0, "size=256k") == 0 else {
            throw Failure("mount: errno \(errno)")
        }
    }

    func enlarge() throws {
        guard mount("tmpfs", self.path, "tmpfs", UInt(MS_REMOUNT), "size=64m") == 0 else {
            throw Failure("remount: errno \(errno)")
        }
    }

    deinit { umount2(self.path, Int32(MNT_DETACH)) }
}
