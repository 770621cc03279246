import Protocol
import Testing

@testable import Supervisor

/// What workers die of, as status counts it.
@Suite struct DeathTests {
    @Test(
        arguments: [
            (nil, true, .exited(code: 0), .exitCode), (nil, true, .exited(code: 3), .exitCode),
            (nil, true, .signaled(11), .signal), (nil, false, .signaled(11), .boot),
            (nil, false, nil, .boot), (.startTimeout, false, .signaled(15), .boot),
            (.overrun, true, .signaled(9), .timeout), (.unhealthy, true, .exited(code: 0), .timeout),
            (.stdoutNoise, true, .signaled(15), .noise), (.stdoutClosed, true, .signaled(15), .signal),
            (.stdinClosed, true, .exited(code: 1), .exitCode), (.shutdown, true, .signaled(9), nil),
        ] as [(DepartureReason?, Bool, Supervisor.ExitStatus?, DeathCause?)])
    func hasOneCause(
        departure: DepartureReason?, wasReady: Bool, status: Supervisor.ExitStatus?, cause: DeathCause?
    ) {
        #expect(DeathCause(departure: departure, wasReady: wasReady, status: status) == cause)
    }

    private static func deaths(_ scenario: Scenario) -> JSONValue? {
        scenario.status()["pools"]?.arrayValue?[0]["workers"]?.arrayValue?[0]["deaths"]
    }

    @Test func areCountedByCauseForAllProcessesOfASlot() throws {
        let scenario = Scenario.ready(workers: 1) { $0.restart.maxDeaths = 100 }
        #expect(
            Self.deaths(scenario)
                == ["exit_code": 0, "signal": 0, "timeout": 0, "oom": 0, "noise": 0, "boot": 0])
        for status: Supervisor.ExitStatus in [.exited(code: 1), .signaled(9), .signaled(6)] {
            scenario.exit(try #require(scenario.workers.last), status)
            scenario.pass(.seconds(30))
            scenario.makeReady()
        }
        scenario.exit(try #require(scenario.workers.last))
        scenario.pass(.seconds(30))
        let unborn = try #require(scenario.takeSpawns().last).worker
        scenario.tick { $0.spawnFailed(unborn, reason: "no such program", &$1) }
        #expect(
            Self.deaths(scenario)
                == ["exit_code": 1, "signal": 3, "timeout": 0, "oom": 0, "noise": 0, "boot": 1])
    }

    @Test func doNotIncludeWhatAStopEnds() {
        let scenario = Scenario.ready(workers: 1)
        scenario.tick { $0.stop(reason: "test", &$1) }
        scenario.exit(scenario.workers[0], .exited(code: 0))
        #expect(scenario.slots[0].deaths == DeathTally())
    }
}
