import Testing

@testable import Supervisor

@Suite struct RosterTests {
    private static func worker(_ slot: Int) -> WorkerToken {
        WorkerToken(index: UInt32(slot), generation: 1)
    }

    /// As the core sees a worker that is in balancing.
    private struct Worker {
        var inFlight = 0
        var maxConcurrency = 1
    }

    private static func candidates(_ workers: [Int: Worker]) -> [Balancer.Candidate] {
        workers.keys.sorted().compactMap { slot in
            guard let worker = workers[slot], worker.inFlight < worker.maxConcurrency else { return nil }
            return Balancer.Candidate(
                token: Self.worker(slot), slot: slot, inFlight: worker.inFlight,
                maxConcurrency: worker.maxConcurrency)
        }
    }

    /// Whatever the workers do, the roster chooses as the strategies do that look at all of them.
    @Test(arguments: [1, 2, 3, 64, 65, 200]) func choosesLikeTheBalancer(slots: Int) {
        var random = SeededGenerator(seed: UInt64(slots))
        var roster = Roster()
        var workers: [Int: Worker] = [:]
        for step in 0..<3000 {
            if step % 500 == 0 {
                workers = [:]
                roster.begin(slots: slots, knowsLoads: true)
                for slot in 0..<slots where Int.random(in: 0..<4, using: &random) > 0 {
                    let worker = Worker(maxConcurrency: Int.random(in: 1...7, using: &random))
                    workers[slot] = worker
                    roster.seat(
                        Self.worker(slot), in: slot, maxConcurrency: worker.maxConcurrency, inFlight: 0)
                }
            }
            if let slot = workers.keys.sorted().randomElement(using: &random), let worker = workers[slot] {
                let inFlight = Int.random(in: 0...worker.maxConcurrency, using: &random)
                workers[slot]?.inFlight = inFlight
                roster.note(slot, Self.worker(slot), inFlight: inFlight)
            }
            let candidates = Self.candidates(workers)
            let turn = Int.random(in: 0...slots + 1, using: &random)
            var (first, second) = (turn, turn)
            let (next, least) = (roster.next(turn: turn), roster.leastLoaded(turn: turn))
            #expect(next == Balancer.roundRobin(candidates, turn: &first)?.slot)
            #expect(least == Balancer.leastLoad(candidates, turn: &second)?.slot)
            let rank = Int.random(in: 0...slots, using: &random)
            let (open, count) = (roster.open(at: rank), roster.openCount)
            #expect(count == candidates.count)
            #expect(open == (rank < candidates.count ? candidates[rank].slot : nil))
        }
    }

    @Test func forgetsWorkersWhenItIsMadeAnew() {
        var roster = Roster()
        roster.begin(slots: 2, knowsLoads: false)
        roster.seat(Self.worker(1), in: 1, maxConcurrency: 2, inFlight: 0)
        roster.noteEjected()
        roster.begin(slots: 2, knowsLoads: false)
        roster.note(1, Self.worker(1), inFlight: 0)
        let (next, seated, hasEjected) = (roster.next(turn: 0), roster.seated, roster.hasEjected)
        #expect(next == nil && seated.isEmpty && !hasEjected)
    }

    @Test func knowsNothingOfAWorkerThatSatThereBefore() {
        var roster = Roster()
        roster.begin(slots: 1, knowsLoads: false)
        roster.seat(Self.worker(5), in: 0, maxConcurrency: 1, inFlight: 0)
        roster.note(0, Self.worker(4), inFlight: 1)
        let next = roster.next(turn: 0)
        #expect(next == 0)
    }
}
