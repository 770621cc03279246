import Glibc
import Protocol
import Testing

@testable import Supervisor

@Suite struct OutputBufferTests {
    @Test func sendsFromTheFrontWhatIsAppendedAtTheEnd() {
        var buffer = OutputBuffer()
        var sent: [UInt8] = []
        var all: [UInt8] = []
        var random = SeededGenerator(seed: 1)
        for step in 0..<500 {
            let chunk = [UInt8](
                repeating: UInt8(truncatingIfNeeded: step), count: Int.random(in: 0..<9000, using: &random))
            buffer.bytes.append(contentsOf: chunk)
            all += chunk
            let count = Int.random(in: 0...buffer.count, using: &random)
            sent += buffer.withUnsent { Array($0.prefix(count)) }
            buffer.drop(count)
            #expect(buffer.count == all.count - sent.count)
        }
        sent += buffer.withUnsent { Array($0) }
        buffer.drop(buffer.count)
        #expect(buffer.isEmpty)
        #expect(sent == all)
    }
}

@Suite struct LineCollectorTests {
    private static func lines(_ chunks: [String]) -> [String] {
        var collector = LineCollector()
        var lines: [String] = []
        for chunk in chunks {
            Array(chunk.utf8).withUnsafeBytes { bytes in
                collector.take(bytes) { lines.append(String(decoding: $0, as: UTF8.self)) }
            }
        }
        collector.finish { lines.append(String(decoding: $0, as: UTF8.self)) }
        return lines
    }

    @Test func cutsLinesWhereverTheReadsFall() {
        #expect(Self.lines(["a", "b\r\n\nc", "d"]) == ["ab", "cd"])
        #expect(Self.lines([]) == [])
    }

    @Test func cutsALongLineIntoPieces() {
        let lines = Self.lines([String(repeating: "x", count: 20_000) + "\ny"])
        #expect(lines.map(\.count) == [7168, 7168, 5664, 1])
    }

    @Test func keepsTheEndOfWhatWasWritten() {
        var collector = LineCollector()
        for index in 0..<40 {
            let chunk = [UInt8](repeating: UInt8(0x41 + index % 26), count: 10_000)
            chunk.withUnsafeBytes { collector.take($0) { _ in } }
        }
        #expect(collector.tailText.utf8.count == LineCollector.tailBytes)
        #expect(collector.tailText.last == "N")
    }
}

@Suite struct StatusTableTests {
    @Test func canBeReadByATiredPerson() {
        let worker: JSONValue = [
            "slot": 0, "worker_id": "worker_1_abc", "pid": 4711, "state": "busy", "reason": .null,
            "in_flight": 1,
            "max_concurrency": 4, "served": 120, "errors": 2, "p50_ms": 1.234, "p99_ms": 25.6,
            "rss_bytes": 9_437_184, "cpu_percent": 12.3, "uptime_seconds": 3725, "restarts": 0,
            "last_exit": .null,
        ]
        let dead: JSONValue = [
            "slot": 1, "worker_id": .null, "pid": .null, "state": "backoff",
            "reason": "in backoff; \u{1b}[2J",
            "in_flight": 0, "max_concurrency": .null, "served": 0, "errors": 0, "p50_ms": .null,
            "p99_ms": .null,
            "rss_bytes": .null, "cpu_percent": .null, "uptime_seconds": .null, "restarts": 3,
            "last_exit": ["code": 1, "signal": .null, "reason": "crashed", "at": "2026-01-31T12:00:00.000Z"],
        ]
        let status: JSONValue = [
            "status": "degraded", "reasons": ["pool default, slot 1: in backoff"], "version": "1.0", "pid": 7,
            "uptime_seconds": 90_061, "socket": "/run/s.sock", "connections": 3,
            "pools": [
                [
                    "name": "default", "status": "degraded", "strategy": "round_robin", "min_workers": 2,
                    "max_workers": 2, "queue_depth": 5, "workers": [worker, dead],
                ]
            ],
        ]
        #expect(
            StatusTable.text(status) == #"""
                supervisor 1.0: DEGRADED, pid 7, up 1d1h, 3 connections, /run/s.sock
                  ! pool default, slot 1: in backoff

                pool default: degraded, 2 workers, round_robin, 5 queued
                  SLOT  WORKER         PID  STATE    CALLS  SERVED  ERRORS      P50    P99   MEMORY     CPU  UPTIME  RESTARTS  LAST EXIT
                     0  worker_1_abc  4711  busy       1/4     120       2  1.23 ms  26 ms  9.0 MiB  12.3 %    1h2m         0  -
                     1  -                -  backoff    0/-       0       0        -      -        -       -       -         3  code 1, crashed, 2026-01-31T12:00:00.000Z
                        ↳ in backoff; \x1b[2J

                """#)
    }
}

@Suite struct WorkerLauncherTests {
    private static func image(_ change: (inout Configuration.Pool) -> Void = { _ in }) -> ProgramImage {
        var pool = Configuration.Pool(name: "main")
        change(&pool)
        let launcher = WorkerLauncher(
            environment: [
                "PATH": "/bin", "HOME": "/root", "NOTIFY_SOCKET": "n", "LISTEN_FDS": "1",
                "SUPERVISOR_SOCKET": "s",
            ], cookie: "c00kie", spawner: ProcessSpawner())
        return launcher.image(
            for: SpawnRequest(
                worker: WorkerToken(index: 0, generation: 1), pool: 0, role: .serving, workerID: "worker_1_a",
                configuration: pool)
        )
    }

    @Test func givesAWorkerTheEnvironmentOfTheContract() {
        let environment = Self.image {
            $0.environment = ["HOME": "/srv", "X": "1"]
            $0.directory = "/data"
        }.environment
        #expect(
            environment == [
                "PATH": "/bin", "HOME": "/srv", "X": "1", "WORKER_ID": "worker_1_a", "WORKER_POOL": "main",
                "PROJECT_ROOT": "/data", "SUPERVISOR_INSTANCE": "c00kie", "SWIFT_BACKTRACE": "enable=no",
            ])
    }

    @Test func inheritsOnlyWhatIsNamed() {
        let environment = Self.image { $0.inheritEnvironment = ["PATH", "SUPERVISOR_SOCKET"] }.environment
        #expect(environment["PATH"] == "/bin")
        #expect(environment["HOME"] == nil)
        #expect(environment["SUPERVISOR_SOCKET"] == nil)
    }

    @Test func fillsInWhoTheWorkerIs() {
        let image = Self.image { $0.command = ["ssh", "h", "run --id={worker_id} {pool} {other}"] }
        #expect(image.command == ["ssh", "h", "run --id=worker_1_a main {other}"])
    }

    @Test func findsItsOwnProgramsBesideItself() {
        #expect(Self.image().command == [ProcessSpawner.sibling("worker")])
        #expect(ProcessSpawner.sibling("worker").hasSuffix("/worker"))
    }
}

@Suite struct SocketPathTests {
    @Test func triesTheContractsPlacesInOrder() {
        #expect(
            SocketPath.defaults(environment: ["XDG_RUNTIME_DIR": "/run/user/5"], uid: 5)
                == ["/run/user/5/supervisor.sock", "/tmp/supervisor-5/supervisor.sock"])
        #expect(
            SocketPath.defaults(environment: ["XDG_RUNTIME_DIR": ""], uid: 0)
                == ["/run/supervisor.sock", "/tmp/supervisor-0/supervisor.sock"])
        let environment = ["SUPERVISOR_SOCKET": "/e"]
        #expect(SocketPath.candidates(given: "/g", environment: environment) == ["/g"])
        #expect(SocketPath.candidates(given: nil, environment: environment) == ["/e"])
    }

    /// Anybody can make a directory of that name, and whoever did decides who listens there.
    @Test func nobodyIsLedIntoAPrivateDirectoryThatOthersMade() {
        let uid = 3_000_000_000 + UInt32(getpid())
        let directory = "/tmp/supervisor-\(uid)"
        func fault(_ uid: UInt32) -> String? {
            SocketPath.faultForConnecting(to: "\(directory)/supervisor.sock", uid: uid)
        }
        #expect(fault(uid) == "No such file or directory")
        #expect(mkdir(directory, 0o700) == 0)
        #expect(fault(uid) == "\(directory) belongs to user \(getuid())")
        #expect(fault(uid + 1) == nil, "to that user it is a place like any other")
        rmdir(directory)
        #expect(symlink("/tmp", directory) == 0)
        #expect(fault(uid) == "\(directory) is no directory")
        unlink(directory)
    }
}

@Suite struct ProcessTableTests {
    @Test func knowsThisProcess() throws {
        var isSeen = false
        ProcessTable.forEach { isSeen = isSeen || $0 == getpid() }
        #expect(isSeen)
        let usage = try #require(ProcessTable.usage(ofTree: getpid()))
        #expect(usage.residentBytes > 0)
        #expect(usage.processorTime >= 0)
        #expect(ProcessTable.usage(ofTree: Int32.max) == nil)
        #expect(!ProcessTable.environment(of: getpid(), contains: Array("NO_SUCH=1".utf8)))
    }
}
