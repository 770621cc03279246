@testable import Supervisor

/// Watches a world for one promise.
///
/// Each method returns what is wrong, in a sentence; nil when nothing is.
protocol Judge {
    static var promise: Promise { get }

    /// Something happened. The ledger has it already, but for what a worker is sent.
    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String?
    /// A tick is over, and all it led to is done.
    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String?
    /// All is quiet.
    mutating func audit(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String?
    /// The supervisor has finished.
    mutating func judgeEnd(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String?
    /// Whether the world has put the promise to the test.
    var isTested: Bool { get }
}

extension Judge {
    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? { nil }
    mutating func judgeStep(
        _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> String? { nil }
    mutating func audit(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? { nil }
    mutating func judgeEnd(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? { nil }
}

/// One judge for each promise.
struct Judges {
    var answers = AnswerJudge()
    var crossTalk = CrossTalkJudge()
    var crashes = CrashJudge()
    var crashLoops: CrashLoopJudge
    var slots = SlotJudge()
    var overload = OverloadJudge()
    var stalls = StallJudge()
    var garbage = GarbageJudge()
    var noise = NoiseJudge()
    var processes = ProcessJudge()
    var exchanges: ExchangeJudge
    var stop = StopJudge()
    var cancels = CancelJudge()
    var streams = StreamJudge()
    var contract = ContractJudge()

    init(_ configuration: Configuration) {
        self.crashLoops = CrashLoopJudge(configuration)
        self.exchanges = ExchangeJudge(configuration)
    }

    /// When the judges are asked.
    enum Moment {
        case observed(Observation)
        case tickIsOver
        case allIsQuiet
        case finished
    }

    /// Asks them all; the first that has something to say is heard.
    mutating func judge(
        _ moment: Moment, _ ledger: Ledger, _ core: borrowing SupervisorCore, _ effects: SimulatedEffects
    ) -> Violation? {
        var broken: Violation?
        func ask<Asked: Judge>(_ judge: inout Asked) {
            guard broken == nil else { return }
            let wrong =
                switch moment {
                case .observed(let observation): judge.observe(observation, ledger)
                case .tickIsOver: judge.judgeStep(ledger, core, effects)
                case .allIsQuiet: judge.audit(ledger, core)
                case .finished: judge.judgeEnd(ledger, core)
                }
            broken = wrong.map { Violation(Asked.promise, $0) }
        }
        ask(&self.answers)
        ask(&self.crossTalk)
        ask(&self.crashes)
        ask(&self.crashLoops)
        ask(&self.overload)
        ask(&self.stalls)
        ask(&self.garbage)
        ask(&self.noise)
        ask(&self.processes)
        ask(&self.exchanges)
        ask(&self.stop)
        ask(&self.cancels)
        ask(&self.streams)
        ask(&self.contract)
        // The counts last: most of what goes wrong makes them wrong too.
        ask(&self.slots)
        return broken
    }

    /// The promises that the world has put to the test.
    var tested: [Promise] {
        let judges: [any Judge] = [
            self.answers, self.crossTalk, self.crashes, self.crashLoops, self.slots, self.overload,
            self.stalls,
            self.garbage, self.noise, self.processes, self.exchanges, self.stop, self.cancels, self.streams,
            self.contract,
        ]
        return judges.filter(\.isTested).map { type(of: $0).promise }
    }
}
