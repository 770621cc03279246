import Protocol
import Testing

@testable import Supervisor

@Suite struct BenchOptionsTests {
    private func options(_ arguments: [String]) throws -> BenchOptions {
        try BenchOptions(CommandSyntax.bench.parse(arguments))
    }

    @Test func theDefaultsAreAClosedLoopOfHealthChecks() throws {
        let options = try self.options([])
        #expect(options.calls == [.init(method: "health.check", weight: 1)])
        #expect(
            options.plan
                == LoadPlan(
                    connections: 8, depth: 1, pace: .closed,
                    extent: .time(warmup: .seconds(1), measured: .seconds(10))))
        #expect(options.rounds == 1 && options.workers == 2 && options.command == nil && !options.isSuite)
        #expect(options.wholeParams == "")
    }

    @Test func readsAllOfALoad() throws {
        let options = try self.options([
            "--connections", "4", "--depth=16", "--duration", "500ms", "--warmup", "0s", "--rate", "2000",
            "--mix", "rag.execute=9,ping=1", "--params", #" {"q":"$N"} "#, "--cache-hits", "0.9", "--rounds",
            "3",
            "--workers", "4", "--save", "a", "--compare", "b", "--json", "--", "python3", "-u",
        ])
        #expect(
            options.plan
                == LoadPlan(
                    connections: 4, depth: 16, pace: .rate(2000),
                    extent: .time(warmup: 0, measured: .milliseconds(500))))
        #expect(options.calls == [.init(method: "rag.execute", weight: 9), .init(method: "ping", weight: 1)])
        #expect(options.cacheHits == 0.9 && options.wholeParams == #"{"q":"$N"}"#)
        #expect(options.rounds == 3 && options.workers == 4 && options.command == ["python3", "-u"])
        #expect(options.savePath == "a" && options.comparePath == "b" && options.printsJSON)
        #expect(options.load(workers: 4)["rate"] == 2000 && options.load(workers: 4)["workers"] == 4)
    }

    @Test(arguments: [
        (["--size", "3"], #"{"payload":"xxx"}"#),
        (["--size", "3", "--params", #"{"a":1}"#], #"{"a":1,"payload":"xxx"}"#),
        (["--size", "3", "--params", "{ }"], #"{"payload":"xxx"}"#),
        (["--cache-hits", "1"], #"{"n":"$N"}"#),
        (["--cache-hits", "0", "--size", "1", "--params", #"{"a":1}"#], #"{"a":1,"payload":"x","n":"$N"}"#),
        (["--params", "[1.50]"], "[1.50]"),
    ])
    func sizeAndCacheHitsAddMembers(arguments: [String], params: String) throws {
        #expect(try self.options(arguments).wholeParams == params)
    }

    @Test func aSizeMayHaveAUnit() throws {
        #expect(try self.options(["--size", "64KiB"]).payloadBytes == 65_536)
    }

    @Test(arguments: [
        (["--rate", "0"], "--rate: expected a whole number from 1 to 10000000, found 0"),
        (["--rate", "fast"], "--rate: expected a whole number from 1 to 10000000, found fast"),
        (["--depth", "0"], "--depth: expected a whole number from 1 to 10000, found 0"),
        (["--connections", "-1"], "--connections: expected a whole number from 1 to 10000, found -1"),
        (
            ["--connections", "1000", "--depth", "1001"],
            "--connections × --depth: expected at most 1000000, found 1001000"
        ),
        (["--rounds", "1.5"], "--rounds: expected a whole number from 1 to 1000, found 1.5"),
        (["--duration", "10"], "--duration: expected a duration such as 500ms, 5s or 2m, found 10"),
        (["--duration", "0s"], "--duration: expected a duration such as 500ms, 5s or 2m, found 0s"),
        (["--warmup", "none"], "--warmup: expected a duration such as 0s, 500ms or 2s, found none"),
        (
            ["--mix", "ping"],
            "--mix: expected METHOD=WEIGHT,… with whole weights from 1, such as rag.execute=9,ping=1, found ping"
        ),
        (
            ["--mix", "ping=0"],
            "--mix: expected METHOD=WEIGHT,… with whole weights from 1, such as rag.execute=9,ping=1, found ping=0"
        ),
        (
            ["--mix", "ping=1,"],
            "--mix: expected METHOD=WEIGHT,… with whole weights from 1, such as rag.execute=9,ping=1, found "
        ),
        (["--mix", "ping=1,ping=2"], "--mix: ping is given twice"),
        (
            ["--mix", "ping=1", "--method", "a"],
            "--method and --mix both say what to call: expected one of them"
        ),
        (["--cache-hits", "90"], "--cache-hits: expected a share from 0 to 1, such as 0.9, found 90"),
        (["--cache-hits", "nan"], "--cache-hits: expected a share from 0 to 1, such as 0.9, found nan"),
        (
            ["--size", "0"],
            "--size: expected a number of bytes from 1 to 8MiB, such as 512 or 64KiB, found 0"
        ),
        (
            ["--size", "1GiB"],
            "--size: expected a number of bytes from 1 to 8MiB, such as 512 or 64KiB, found 1GiB"
        ),
        (
            ["--size", "1", "--params", "[]"],
            "--size and --cache-hits need --params that are an object, found an array"
        ),
        (["--params", "7"], "--params: expected a JSON object or array, found a number at byte 0"),
        (["--params", "{"], "--params: expected a string at byte 1"),
        (["--workers", "2"], "--workers is for the supervisor that COMMAND behind -- starts"),
        (
            ["--socket", "/a", "--", "w"],
            "--socket names a running supervisor, COMMAND starts one: expected one of them"
        ),
        (["--suite", "http"], "--suite: expected ipc, found http"),
        (["--suite", "ipc", "--rate", "5"], "--suite ipc makes its own calls: --rate has no place there"),
    ])
    func refusesWithWhatWasExpected(arguments: [String], message: String) throws {
        let parsed = try CommandSyntax.bench.parse(arguments)
        let failure = #expect(throws: CommandFailure.self) { try BenchOptions(parsed) }
        #expect(failure?.message == message)
        #expect(failure?.exitCode == 2)
    }
}
