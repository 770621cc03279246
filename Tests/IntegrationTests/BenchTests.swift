import Foundation
import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `supervisor bench`. The command measures release builds only; what it is made of is tested in any.
    @Suite(.timeLimit(.minutes(1)))
    struct Measuring {
        private static let signals = [SIGUSR2]

        private func supervisor(_ fixture: [String] = []) throws -> SupervisorProcess {
            try SupervisorProcess(fixture: fixture, language: .swift)
        }

        private func load(
            _ supervisor: SupervisorProcess, _ plan: LoadPlan, _ templates: [CallTemplate]
        ) throws -> LoadFigures {
            let target = try BenchTarget([supervisor.socket])
            let generator = try LoadGenerator(
                path: supervisor.socket, plan: plan, mix: CallMix(templates.map { ($0, 1) }, seed: 1),
                processes: target.processes)
            return try #require(try generator.perform(unlessInterrupted: SignalQueue(Self.signals)))
        }

        @Test func everyCallIsAnsweredAndCounted() throws {
            let supervisor = try self.supervisor(["--concurrency", "64"])
            let plan = LoadPlan(connections: 4, depth: 8, extent: .calls(2000))
            let before = try BenchTarget([supervisor.socket]).callCount(["echo", "ping"])
            let figures = try self.load(
                supervisor, plan,
                [CallTemplate(method: "echo", params: #"{"n":"$N"}"#), CallTemplate(method: "ping")])
            #expect(figures.results == 2000 && figures.calls == 2000)
            #expect(figures.failure == nil && figures.strays == 0)
            #expect(figures.latencies.count == 2000 && figures.latencies.minimum > 0)
            let after = try BenchTarget([supervisor.socket]).callCount(["echo", "ping"])
            #expect(zip(after, before).reduce(0) { $0 + $1.0 - $1.1 } == 2000)
        }

        @Test func errorsAndLongAnswersAreRecognised() throws {
            let supervisor = try self.supervisor()
            let plan = LoadPlan(connections: 2, depth: 1, extent: .calls(40))
            let failing = CallTemplate(
                method: "fail", params: #"{"text":"{\"code\":7,\"message\":\"as told\"}"}"#)
            let failed = try self.load(supervisor, plan, [failing])
            #expect(failed.errors == [.init(code: 7, count: 40, message: "as told")])
            #expect(failed.isFailed)
            // Longer than what is read at once.
            let few = LoadPlan(connections: 2, depth: 1, extent: .calls(6))
            let long = try self.load(
                supervisor, few, [CallTemplate(method: "big", params: #"{"bytes":1000000}"#)])
            #expect(long.results == 6 && long.failure == nil)
        }

        @Test func aFixedRateIsKept() throws {
            let supervisor = try self.supervisor()
            let plan = LoadPlan(
                connections: 4, depth: 4, pace: .rate(200),
                extent: .time(warmup: .milliseconds(100), measured: .milliseconds(500)))
            let figures = try self.load(supervisor, plan, [CallTemplate(method: "ping")])
            #expect(figures.calls == 100, "due in half a second, whatever became of them")
            #expect(figures.processorTime?.supervisor != nil && figures.processorTime?.workers != nil)
        }

        @Test func aSupervisorThatGoesAwayFailsTheRound() throws {
            let supervisor = try self.supervisor()
            let plan = LoadPlan(
                connections: 1, depth: 1, extent: .time(warmup: 0, measured: .seconds(30)))
            let generator = try LoadGenerator(
                path: supervisor.socket, plan: plan,
                mix: CallMix([(CallTemplate(method: "hang"), 1)], seed: 1))
            supervisor.process.signal(SIGKILL)
            let figures = try #require(try generator.perform(unlessInterrupted: SignalQueue(Self.signals)))
            #expect(figures.failure != nil && figures.isFailed)
        }

        // MARK: A supervisor of its own

        private func started(
            _ command: [String], program: String = Programs.supervisor
        ) throws -> BenchServer {
            var spawner = ProcessSpawner()
            spawner.deathSignal = 0  // threads of tests come and go
            return try BenchServer(command, workers: 2, program: program, spawner: spawner)
        }

        @Test func aStartedSupervisorLeavesNothingBehind() throws {
            let server = try self.started(try Programs.fixtureWorker(in: .swift))
            defer { server.stop() }
            try server.waitUntilHealthy(unlessInterrupted: SignalQueue(Self.signals))
            let target = try BenchTarget([server.socket])
            #expect(target.processes.workers.count == 2)
            server.stop()
            for pid in target.processes.workers + [target.pid] { #expect(!Processes.isAlive(pid)) }
            #expect(FileStatus(ofPath: FilePath.directory(of: server.socket)) == nil)
        }

        @Test(arguments: [
            (
                program: Programs.supervisor, sentence: "the workers cannot be started",
                said: "/no/such/worker"
            ),
            (program: "/bin/false", sentence: "the supervisor ended at its start", said: "start"),
        ])
        func aStartThatFailsIsExplained(program: String, sentence: String, said: String) throws {
            let server = try self.started(["/no/such/worker"], program: program)
            defer { server.stop() }
            let failure = #expect(throws: CommandFailure.self) {
                try server.waitUntilHealthy(unlessInterrupted: SignalQueue(Self.signals))
            }
            #expect(failure?.exitCode == 1)
            #expect(failure?.message.hasPrefix(sentence) == true && failure?.message.contains(said) == true)
        }

        // MARK: The command

        @Test func aDebugBuildIsRefusedAfterItsOptionsWereRead() throws {
            let run = try Command.run([Programs.supervisor, "bench", "--socket", "/nowhere"])
            #if DEBUG
                #expect(run.exitCode == 2 && run.output == "")
                #expect(run.errors.contains("release builds only, and this is a debug build"))
            #else
                #expect(run.exitCode == 3)
            #endif
            let wrong = try Command.run([Programs.supervisor, "bench", "--depth", "0"])
            #expect(wrong.exitCode == 2 && wrong.errors.contains("--depth: expected a whole number"))
        }

        @Test(.enabled(if: ReleaseBuild.isCurrent, ReleaseBuild.hint))
        func measuresComparesAndKeeps() throws {
            let directory = try TestDirectory()
            let load = ["--duration", "200ms", "--warmup", "0s", "--rounds", "2"]
            let worker = ["--"] + (try Programs.fixtureWorker(in: .swift))
            let first = try Command.run(
                [ReleaseBuild.supervisor, "bench", "--save", directory.file("run"), "--json"] + load + worker)
            #expect(first.exitCode == 0 && first.errors == "")
            let figures = try JSONValue(parsing: first.output)
            #expect(try JSONValue(parsing: Files.text(directory.file("run"))) == figures)
            #expect(try #require(figures["results"]?.integerValue) > 0)
            #expect(figures["errors"] == [])
            let second = try Command.run(
                [ReleaseBuild.supervisor, "bench", "--compare", directory.file("run")] + load + worker)
            #expect(second.exitCode == 0 && second.output.contains("RATIO"))
            let unwritable = try Command.run(
                [ReleaseBuild.supervisor, "bench", "--save", directory.file("no/run")] + worker)
            #expect(unwritable.exitCode == 2 && unwritable.errors.contains("--save: cannot write"))
        }

        @Test(.enabled(if: ReleaseBuild.isCurrent, ReleaseBuild.hint))
        func theSuitePassesAndTellsByItsExitCode() throws {
            let worker = try Programs.fixtureWorker(in: .swift)
            let run = try Command.run([ReleaseBuild.supervisor, "bench", "--suite", "ipc", "--"] + worker)
            #expect(run.exitCode == 0 && run.output.contains("6 passed, 0 failed"), "\(run.output)")
            let query = #"{"action":"fail","text":"{\"code\":7,\"message\":\"as told\"}"}"#
            let failed = try Command.run(
                [ReleaseBuild.supervisor, "bench", "--suite", "ipc", "--params", query, "--"] + worker)
            #expect(failed.exitCode == 1 && failed.output.contains("4 passed, 2 failed"), "\(failed.output)")
        }

        @Test(.enabled(if: ReleaseBuild.isCurrent, ReleaseBuild.hint), arguments: [SIGINT, SIGTERM])
        func aSignalEndsItWithAllThatItStarted(signal: Int32) throws {
            let directory = try TestDirectory()
            let pids = directory.file("pids")
            let bench = try ChildProcess(
                [ReleaseBuild.supervisor, "bench", "--duration", "1m", "--"]
                    + Programs.fixtureWorker(["--pids", pids], in: .swift))
            try eventually("both workers are there") { Files.text(pids).split(separator: "\n").count >= 2 }
            let server = try #require(Processes.children(of: bench.pid).first)
            usleep(300_000)
            bench.signal(signal)
            #expect(try bench.exit() == .exited(code: 1))
            #expect(bench.errors == "supervisor: interrupted\n")
            let workers = Files.text(pids).split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            for pid in workers + [server] { #expect(!Processes.isAlive(pid)) }
        }
    }
}

/// The release build beside the debug build of the tests, where it is as new as what it is made of.
private enum ReleaseBuild {
    private static let package = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")
    static let supervisor = "\(package)/.build/release/supervisor"
    static let hint: Comment =
        "run `swift build -c release` first: what measures is only there, or older than its source"

    static var isCurrent: Bool {
        guard let built = self.modified(self.supervisor) else { return false }
        return ["Bench", "Commands"].allSatisfy { folder in
            let directory = "\(self.package)/Sources/Supervisor/\(folder)"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            return names.allSatisfy { self.modified("\(directory)/\($0)") ?? 0 <= built }
        }
    }

    /// Seconds since 1970.
    private static func modified(_ path: String) -> Int? {
        var info = stat()
        return stat(path, &info) == 0 ? info.st_mtim.tv_sec : nil
    }
}
