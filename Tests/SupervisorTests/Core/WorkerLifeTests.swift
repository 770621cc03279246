import Testing

@testable import Supervisor

/// Every state × event cell of a worker's life.
@Suite struct WorkerLifeTests {
    typealias State = WorkerLife.State
    typealias Action = WorkerLife.Action

    enum Event: CaseIterable {
        case healthAnswered, retireIdle, retireBusy, dismiss, hold, drained, terminate, timerFired, kill,
            exited
    }

    static let states: [State] = [
        .starting, .ready, .held, .draining(.stdoutNoise), .terminating(.shutdown, next: .terminate),
        .terminating(.unhealthy, next: .kill), .terminating(.unhealthy, next: .wait), .exited(nil),
    ]

    /// A life that was led into that state.
    static func life(in state: State) -> WorkerLife {
        var life = WorkerLife()
        switch state {
        case .starting: break
        case .ready: _ = life.healthAnswered()
        case .held: _ = life.hold()
        case .draining(let reason):
            _ = life.healthAnswered()
            _ = life.retire(reason, isIdle: false)
        case .terminating(_, next: .terminate): _ = life.retire(.shutdown, isIdle: true)
        case .terminating(let reason, next: .kill): _ = life.terminate(reason)
        case .terminating(let reason, next: .wait): _ = life.kill(reason)
        case .exited: life.exited()
        }
        return life
    }

    static func apply(_ event: Event, to life: inout WorkerLife) -> Action {
        switch event {
        case .healthAnswered: return life.healthAnswered()
        case .retireIdle: return life.retire(.overrun, isIdle: true)
        case .retireBusy: return life.retire(.overrun, isIdle: false)
        case .dismiss: return life.retire(.shutdown, isIdle: true)
        case .hold: return life.hold()
        case .drained: return life.drained()
        case .terminate: return life.terminate(.stdinClosed)
        case .timerFired: return life.timerFired()
        case .kill: return life.kill(.shutdown)
        case .exited:
            life.exited()
            return .none
        }
    }

    struct Cell: Sendable {
        var from: State
        var event: Event
        var action: Action
        var to: State
    }

    private static func row(_ from: State, _ cells: [(Event, Action, State)]) -> [Cell] {
        cells.map { Cell(from: from, event: $0.0, action: $0.1, to: $0.2) }
    }

    /// The two cells that are missing are impossible, and trap: a health answer and an exit after the exit.
    static let cells: [Cell] = {
        let noise = State.draining(.stdoutNoise)
        let gentle = State.terminating(.shutdown, next: .terminate)
        let firm = State.terminating(.unhealthy, next: .kill)
        let last = State.terminating(.unhealthy, next: .wait)
        let gone = State.exited(nil)
        return row(
            .starting,
            [
                (.healthAnswered, .becomeReady, .ready),
                (.retireIdle, .terminate, .terminating(.overrun, next: .kill)),
                (.retireBusy, .terminate, .terminating(.overrun, next: .kill)),
                (.dismiss, .closeInput, gentle), (.hold, .leaveAlone, .held), (.drained, .none, .starting),
                (.terminate, .terminate, .terminating(.stdinClosed, next: .kill)),
                (.timerFired, .none, .starting), (.kill, .kill, .terminating(.shutdown, next: .wait)),
                (.exited, .none, gone),
            ])
            + row(
                .ready,
                [
                    (.healthAnswered, .none, .ready),
                    (.retireIdle, .terminate, .terminating(.overrun, next: .kill)),
                    (.retireBusy, .drain, .draining(.overrun)), (.dismiss, .closeInput, gentle),
                    (.hold, .leaveAlone, .held), (.drained, .none, .ready),
                    (.terminate, .terminate, .terminating(.stdinClosed, next: .kill)),
                    (.timerFired, .none, .ready), (.kill, .kill, .terminating(.shutdown, next: .wait)),
                    (.exited, .none, gone),
                ])
            + row(
                .held,
                [
                    (.healthAnswered, .none, .held),
                    (.retireIdle, .terminate, .terminating(.overrun, next: .kill)),
                    (.retireBusy, .drain, .draining(.overrun)), (.dismiss, .closeInput, gentle),
                    (.hold, .leaveAlone, .held), (.drained, .none, .held),
                    (.terminate, .terminate, .terminating(.stdinClosed, next: .kill)),
                    (.timerFired, .none, .held), (.kill, .kill, .terminating(.shutdown, next: .wait)),
                    (.exited, .none, gone),
                ])
            + row(
                noise,
                [
                    (.healthAnswered, .none, noise), (.retireIdle, .none, noise), (.retireBusy, .none, noise),
                    (.dismiss, .none, noise), (.hold, .none, noise),
                    (.drained, .terminate, .terminating(.stdoutNoise, next: .kill)),
                    (.terminate, .terminate, .terminating(.stdinClosed, next: .kill)),
                    (.timerFired, .none, noise), (.kill, .kill, .terminating(.shutdown, next: .wait)),
                    (.exited, .none, .exited(.stdoutNoise)),
                ])
            + row(
                gentle,
                [
                    (.healthAnswered, .none, gentle), (.retireIdle, .none, gentle),
                    (.retireBusy, .none, gentle), (.dismiss, .none, gentle), (.hold, .none, gentle),
                    (.drained, .none, gentle),
                    (.terminate, .none, gentle),
                    (.timerFired, .terminate, .terminating(.shutdown, next: .kill)),
                    (.kill, .kill, .terminating(.shutdown, next: .wait)),
                    (.exited, .none, .exited(.shutdown)),
                ])
            + row(
                firm,
                [
                    (.healthAnswered, .none, firm), (.retireIdle, .none, firm), (.retireBusy, .none, firm),
                    (.dismiss, .none, firm), (.hold, .none, firm), (.drained, .none, firm),
                    (.terminate, .none, firm),
                    (.timerFired, .kill, last), (.kill, .kill, last),
                    (.exited, .none, .exited(.unhealthy)),
                ])
            + row(
                last,
                [
                    (.healthAnswered, .none, last), (.retireIdle, .none, last), (.retireBusy, .none, last),
                    (.dismiss, .none, last), (.hold, .none, last), (.drained, .none, last),
                    (.terminate, .none, last),
                    (.timerFired, .none, last), (.kill, .none, last),
                    (.exited, .none, .exited(.unhealthy)),
                ])
            + row(
                gone,
                [
                    (.retireIdle, .none, gone), (.retireBusy, .none, gone), (.dismiss, .none, gone),
                    (.hold, .none, gone), (.drained, .none, gone), (.terminate, .none, gone),
                    (.timerFired, .none, gone),
                    (.kill, .none, gone),
                ])
    }()

    @Test func hasEveryCellButTheImpossibleOnes() {
        #expect(Self.cells.count == Self.states.count * Event.allCases.count - 2)
    }

    @Test(arguments: Self.cells)
    func goesFromStateToState(cell: Cell) {
        var life = Self.life(in: cell.from)
        #expect(life.state == cell.from)
        #expect(Self.apply(cell.event, to: &life) == cell.action)
        #expect(life.state == cell.to)
    }

    @Test func trapsWhenADeadWorkerAnswers() async {
        await #expect(processExitsWith: .failure) {
            var life = WorkerLife()
            life.exited()
            _ = life.healthAnswered()
        }
    }

    @Test func trapsWhenAWorkerExitsTwice() async {
        await #expect(processExitsWith: .failure) {
            var life = WorkerLife()
            life.exited()
            life.exited()
        }
    }
}
