import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The log's files: rotated, compressed by a child, opened anew.
    @Suite(.timeLimit(.minutes(2)), .enabled(if: access("/bin/sh", X_OK) == 0))
    struct LogFiles {
        private static let gzip = try? ProcessSpawner.resolve(
            "gzip", environment: ProcessEnvironment.current)

        private let directory: TestDirectory
        private var log: String { self.directory.file("log") }

        init() throws { self.directory = try TestDirectory() }

        /// A supervisor whose log is rotated at 16 KiB.
        ///
        /// - Parameter gzip: a script in place of gzip; nil: the system's.
        private func serve(gzip script: String? = nil, keep: Int = 3) throws -> SupervisorProcess {
            var path = ProcessEnvironment.current["PATH"] ?? "/usr/bin:/bin"
            if let script {
                try self.directory.write("#!/bin/sh\n\(script)\n", to: "bin/gzip", mode: 0o755)
                path = "\(self.directory.file("bin")):\(path)"
            }
            return try SupervisorProcess(
                language: .swift,
                settings: "logging: { file: \"log\", rotate_bytes: \"16KiB\", keep: \(keep) }",
                environment: ["PATH": path], in: self.directory)
        }

        /// Has a worker say so much on stderr.
        private func fill(_ supervisor: SupervisorProcess, bytes: Int) throws {
            let answer = try supervisor.client().call("chatter", #"{"bytes":\#(bytes)}"#)
            #expect(answer["result"] == "said")
        }

        private func unpacked(_ path: String) throws -> String {
            let result = try Command.run([Self.gzip ?? "gzip", "-dc", path])
            #expect(result.exitCode == 0, Comment(rawValue: result.errors))
            return result.output
        }

        /// The old files, the oldest first, and the log.
        private func records() throws -> [JSONValue] {
            var text = ""
            for number in (1...9).reversed() {
                let path = "\(self.log).\(number)"
                if Files.exists("\(path).gz") { text += try self.unpacked("\(path).gz") }
                if Files.exists(path) { text += Files.text(path) }
            }
            // What is being written as it is read may end within a line.
            let present = Files.text(self.log)
            text += present.lastIndex(of: "\n").map { present[...$0] } ?? ""
            return try text.split(separator: "\n").map { try JSONValue(parsing: String($0)) }
        }

        @Test(.enabled(if: gzip != nil, "gzip is missing"))
        func rotatesAndCompressesWithoutLosingALine() throws {
            let supervisor = try self.serve(keep: 9)
            try self.fill(supervisor, bytes: 100 << 10)
            try eventually("all old ones are compressed") {
                Files.exists("\(self.log).6.gz") && (1...9).allSatisfy { !Files.exists("\(self.log).\($0)") }
            }
            let records = try self.records()
            #expect(records.first?["event"] == "supervisor.listening")
            #expect(records.count { $0["event"] == "worker.stderr" } == 100)
            #expect(Files.bytes(self.log).count <= 16 << 10)
            #expect(!Files.exists("\(self.log).compressing"))
            #expect(Processes.zombies(of: supervisor.pid).isEmpty)
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit() == .exited(code: 0))
        }

        @Test func givesGzipNoDescriptorButItsThreeAndRunsOneAtATime() throws {
            let supervisor = try self.serve(
                gzip: """
                    mkdir running || echo twice >>failures
                    for fd in /proc/$$/fd/*; do readlink $fd; done >>descriptors
                    sleep 0.05; cat; rmdir running
                    """)
            try self.fill(supervisor, bytes: 100 << 10)
            try eventually("all old ones are compressed") {
                Files.exists("\(self.log).3.gz") && (1...3).allSatisfy { !Files.exists("\(self.log).\($0)") }
            }
            #expect(!Files.exists(self.directory.file("failures")))
            let open = Set(Files.lines(self.directory.file("descriptors"))).filter {
                // The shell's own: the script, the pipe or the file that it lists into.
                !$0.hasSuffix("/bin/gzip") && !$0.hasSuffix("/descriptors") && $0.hasPrefix("/")
            }
            for path in open {
                #expect(path.hasPrefix("\(self.log).") || path == "/dev/null", Comment(rawValue: path))
            }
            #expect(Files.text("\(self.log).1.gz").hasSuffix("\n"), "what it wrote is what is kept")
        }

        @Test func saysOnceThatGzipFailsAndKeepsTheFilesAsTheyAre() throws {
            let supervisor = try self.serve(gzip: "exit 3", keep: 9)
            for _ in 0..<3 { try self.fill(supervisor, bytes: 20 << 10) }
            try eventually("its failure is logged") {
                try self.records().contains { $0["event"] == "log.compression_failed" }
            }
            try self.fill(supervisor, bytes: 20 << 10)
            let failures = try self.records().filter { $0["event"] == "log.compression_failed" }
            #expect(failures.map { $0["error"] } == ["gzip exited with code 3"])
            #expect(Files.exists("\(self.log).4") && !Files.exists("\(self.log).1.gz"))
        }

        @Test(.enabled(if: gzip != nil, "gzip is missing"))
        func compressesAtTheNextStartWhatAKillLeftUnfinished() throws {
            var supervisor: SupervisorProcess? = try self.serve(
                gzip: "echo $$ >>pids; head -c 100; sleep 60", keep: 9)
            try self.fill(#require(supervisor), bytes: 20 << 10)
            try eventually("gzip is at work") { !Files.bytes("\(self.log).compressing").isEmpty }
            supervisor?.process.signal(SIGKILL)
            let child = try #require(Processes.pids(in: self.directory.file("pids")).first)
            try eventually("it dies with the supervisor") { !Processes.isAlive(child) }
            supervisor = nil
            #expect(Files.exists("\(self.log).1") && !Files.exists("\(self.log).1.gz"))
            unlink(self.directory.file("bin/gzip"))
            let again = try self.serve(keep: 9)
            try eventually("it is compressed") {
                Files.exists("\(self.log).1.gz") && !Files.exists("\(self.log).1")
            }
            #expect(!Files.exists("\(self.log).compressing"))
            #expect(try self.records().count { $0["event"] == "worker.stderr" } == 20)
            #expect(again.process.isRunning)
        }

        @Test func stopsAtOnceWhileGzipIsAtWork() throws {
            let supervisor = try self.serve(gzip: "sleep 60")
            try self.fill(supervisor, bytes: 20 << 10)
            try eventually("gzip is at work") { Files.exists("\(self.log).compressing") }
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit(within: 8) == .exited(code: 0))
            #expect(!Files.exists("\(self.log).compressing"))
        }

        @Test func goesOnInTheOldFileWhereTheNewOneCannotBeOpened() throws {
            let supervisor = try self.serve()
            let moved = self.directory.file("moved")
            rename(self.log, moved)
            mkdir(self.log, 0o755)
            supervisor.process.signal(SIGUSR1)
            try eventually("that is said there") { Files.text(moved).contains("log.reopen_failed") }
            rmdir(self.log)
            supervisor.process.signal(SIGUSR1)
            try eventually("there is a new file") { Files.text(self.log).contains("log.reopened") }
            #expect(try supervisor.client().call("echo", "[1]")["result"] == [1])
        }

        @Test func logsASlowCallUnderTheIDOfItsAnswer() throws {
            let supervisor = try SupervisorProcess(
                language: .swift, settings: "logging: { slow_request: \"50ms\" }", in: self.directory)
            let client = try supervisor.client()
            #expect(try client.call("echo", "[1]")["result"] == [1])
            let answer = try client.call("sleep", #"{"ms":80}"#, metadata: "{}")
            try eventually("it is logged") {
                supervisor.records("request.slow").last?["method"] == "sleep"
            }
            let record = try #require(supervisor.records("request.slow").last)
            #expect(record["request_id"] == answer[path: "metadata.request_id"])
            #expect(record["outcome"] == "ok" && record["attempts"] == 1)
            #expect(try #require(record["worker_ms"]?.doubleValue) >= 80)
        }

        /// RLIMIT_FSIZE would end a process that does not know of it.
        @Test func survivesALimitOnTheSizeOfFiles() throws {
            let process = try ChildProcess(
                [
                    "/bin/sh", "-c", "ulimit -f 8; exec \"$@\"", "sh", Programs.supervisor, "serve",
                    "--socket", self.directory.file("s"), "--",
                ] + Programs.fixtureWorker(in: .swift))
            try eventually("it listens") {
                (try? UnixSocket.connect(to: self.directory.file("s"))) != nil
            }
            let client = try Client(self.directory.file("s"))
            #expect(try client.call("chatter", #"{"bytes":65536}"#)["result"] == "said")
            #expect(try client.call("echo", "[1]")["result"] == [1])
            process.signal(SIGTERM)
            #expect(try process.exit() == .exited(code: 0))
        }
    }
}
