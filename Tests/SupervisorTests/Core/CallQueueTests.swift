import Protocol
import Testing

@testable import Supervisor

/// The order in which waiting calls are sent, of the queue alone.
@Suite struct CallQueueTests {
    typealias Priority = RequestMetadata.Priority

    /// A table with one pool, and a clock.
    struct Waiting: ~Copyable {
        var table = RequestTable(pools: 1)
        var now = Instant(nanoseconds: .seconds(1000))

        @discardableResult
        mutating func arrive(_ connection: Int?, _ priority: Priority = .normal) -> RequestToken {
            let now = self.now
            let call = self.table.insert {
                $0.priority = priority
                $0.arrivedAt = now
                $0.origin = connection.map { .client(Self.connection($0), batch: nil) } ?? .nobody
            }
            self.table.enqueue(call)
            return call
        }

        /// The call whose turn it is goes to a worker and is answered.
        mutating func sendNext(unsuitable: WorkerToken? = nil) -> RequestToken? {
            guard let call = self.table.next(in: 0, at: self.now, unsuitable: unsuitable) else { return nil }
            self.table.takeFromQueue(call)
            self.table.remove(call)
            return call
        }

        /// A worker got the call out of turn and lost it.
        mutating func lose(_ call: RequestToken, _ worker: WorkerToken) {
            self.table.takeFromQueue(call)
            self.table.assign(call, to: worker, now: self.now)
            self.table.requeue(call, avoiding: worker)
        }

        static func connection(_ index: Int) -> ConnectionToken {
            ConnectionToken(index: UInt32(index), generation: 1)
        }
    }

    static func worker(_ index: Int) -> WorkerToken { WorkerToken(index: UInt32(index), generation: 1) }

    @Test func sendsHigherPrioritiesFirst() {
        var waiting = Waiting()
        let low = waiting.arrive(0, .low)
        let normal = waiting.arrive(0, .normal)
        let high = waiting.arrive(0, .high)
        #expect((0..<4).map { _ in waiting.sendNext() } == [high, normal, low, nil])
    }

    @Test func letsConnectionsTakeTurnsAndKeepsTheOrderOfEach() {
        var waiting = Waiting()
        let first = (0..<3).map { _ in waiting.arrive(7) }
        let second = waiting.arrive(2)
        let third = (0..<2).map { _ in waiting.arrive(5) }
        let expected = [first[0], second, third[0], first[1], third[1], first[2]]
        #expect((0..<6).map { _ in waiting.sendNext() } == expected)
    }

    @Test func givesWhatBelongsToNobodyATurnOfItsOwn() {
        var waiting = Waiting()
        let first = (0..<2).map { _ in waiting.arrive(0) }
        let own = waiting.arrive(nil)
        #expect((0..<3).map { _ in waiting.sendNext() } == [first[0], own, first[1]])
    }

    @Test func keepsTheTurnOfAConnectionWhoseFirstCallLeaves() {
        var waiting = Waiting()
        let first = (0..<2).map { _ in waiting.arrive(0) }
        let second = waiting.arrive(1)
        waiting.table.remove(first[0])
        #expect((0..<2).map { _ in waiting.sendNext() } == [first[1], second])
    }

    @Test func sendsRetriedCallsFirstInTheirPriority() {
        var waiting = Waiting()
        let calls = (0..<3).map { waiting.arrive($0) }
        let high = waiting.arrive(0, .high)
        waiting.lose(calls[2], Self.worker(0))
        #expect((0..<4).map { _ in waiting.sendNext() } == [high, calls[2], calls[0], calls[1]])
    }

    @Test func stepsOverTheCallsThatAWorkerLost() {
        var waiting = Waiting()
        let calls = (0..<3).map { waiting.arrive($0) }
        waiting.lose(calls[2], Self.worker(1))
        waiting.lose(calls[1], Self.worker(0))
        #expect(waiting.table.next(in: 0, at: waiting.now, unsuitable: nil) == calls[1])
        #expect(waiting.table.next(in: 0, at: waiting.now, unsuitable: Self.worker(0)) == calls[2])
        waiting.table.remove(calls[2])
        #expect(waiting.table.next(in: 0, at: waiting.now, unsuitable: Self.worker(0)) == calls[0])
    }

    // MARK: Ageing

    /// The example of the queue's own description.
    @Test func sendsEveryFourthCallFromAPriorityThatWasPassedOverForASecond() {
        var waiting = Waiting()
        let low = [waiting.arrive(2, .low), waiting.arrive(2, .low)]
        waiting.arrive(0, .high)
        waiting.arrive(1, .high)
        var sent = ""
        for step in 0..<14 {
            waiting.now = waiting.now.advanced(by: .milliseconds(step < 10 ? 100 : 1))
            guard let call = waiting.table.next(in: 0, at: waiting.now, unsuitable: nil) else { break }
            sent += low.contains(call) ? "L" : "H"
            let connection = Int(waiting.table[call].connection?.index ?? 9)
            #expect(waiting.sendNext() == call)
            if connection < 2 { waiting.arrive(connection, .high) }
        }
        #expect(sent == "HHHHHHHHHLHHHL")
    }

    @Test func alternatesBetweenTwoPrioritiesThatAreDue() {
        var waiting = Waiting()
        for _ in 0..<4 {
            waiting.arrive(0, .low)
            waiting.arrive(1, .normal)
        }
        for _ in 0..<40 { waiting.arrive(2, .high) }
        waiting.now = waiting.now.advanced(by: .seconds(1))
        var sent = ""
        for _ in 0..<14 {
            guard let call = waiting.table.next(in: 0, at: waiting.now, unsuitable: nil) else { break }
            sent += waiting.table[call].priority.rawValue.prefix(1)
            #expect(waiting.sendNext() == call)
        }
        #expect(sent == "nhhhlhhhnhhhlh")
    }

    @Test func isNotKeptFromAgeingByACallThatIsTriedAgain() {
        var waiting = Waiting()
        waiting.arrive(0, .low)
        waiting.now = waiting.now.advanced(by: .seconds(1))
        let retried = waiting.arrive(1, .low)
        waiting.lose(retried, Self.worker(0))
        waiting.arrive(2, .high)
        #expect(waiting.sendNext() == retried, "the low priority is due, and a retried call is first in it")
    }

    /// A client that cancels each call just before it is due must not keep the turn, and the others waiting.
    @Test func isNotKeptFromAgeingByCallsThatAreCancelled() {
        var waiting = Waiting()
        var cancelled = waiting.arrive(0, .low)
        let call = waiting.arrive(1, .low)
        for _ in 0..<1000 { waiting.arrive(2, .high) }
        var sent: [RequestToken?] = []
        for _ in 0..<12 {
            let next = waiting.arrive(0, .low)
            waiting.table.remove(cancelled)
            cancelled = next
            waiting.now = waiting.now.advanced(by: .milliseconds(250))
            let due = waiting.table.next(in: 0, at: waiting.now, unsuitable: nil)
            if due == cancelled { cancelled = waiting.arrive(0, .low) }
            sent.append(waiting.sendNext())
        }
        #expect(sent.contains(call))
    }
}
