import Testing

@testable import Supervisor

@Suite struct DeadlineQueueTests {
    @Test func popsNothingBeforeItIsDue() {
        var queue = DeadlineQueue()
        queue.set(3, to: Instant(nanoseconds: 5))
        #expect(queue.popDue(now: Instant(nanoseconds: 4)) == nil)
        #expect(queue.popDue(now: Instant(nanoseconds: 5)) == 3)
        #expect(queue.popDue(now: Instant(nanoseconds: 5)) == nil)
        #expect(queue.next == nil)
    }

    @Test func forgetsAKeyThatWasNeverSet() {
        var queue = DeadlineQueue()
        queue.remove(7)
        #expect(queue.time(of: 7) == nil)
        #expect(queue.count == 0)
    }

    /// As calls do that time out after one of a few times, and are answered in any order.
    @Test(arguments: [[Int64(60)], [60, 5], [60, 50, 40, 30, 20, 10, 5, 3, 2, 1]])
    func givesDeadlinesInOrderWhateverTimeoutsThereAre(timeouts: [Int64]) {
        var random = SeededGenerator(seed: 8)
        var queue = DeadlineQueue()
        for key in 0..<2000 {
            let timeout = timeouts[key % timeouts.count]
            queue.set(key, to: Instant(nanoseconds: Int64(key) + timeout * 1000))
        }
        for _ in 0..<1000 { queue.remove(Int.random(in: 0..<2000, using: &random)) }
        queue._checkInvariants()
        var (last, popped) = (Int64.min, 0)
        let count = queue.count
        while let key = queue.popDue(now: .distantFuture) {
            let time = Int64(key) + timeouts[key % timeouts.count] * 1000
            #expect(time >= last)
            (last, popped) = (time, popped + 1)
        }
        let left = queue.count
        #expect(popped == count && left == 0)
    }

    @Test func givesEqualDeadlinesInTheOrderInWhichTheyCame() {
        var queue = DeadlineQueue()
        for key in [4, 2, 9, 0] { queue.set(key, to: Instant(nanoseconds: 5)) }
        var order: [Int] = []
        while let key = queue.popDue(now: Instant(nanoseconds: 5)) { order.append(key) }
        #expect(order == [4, 2, 9, 0])
    }

    @Test(arguments: UInt64(1)...4)
    func agreesWithANaiveModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var queue = DeadlineQueue()
        var model: [Int: Int64] = [:]
        for step in 0..<20_000 {
            let key = Int.random(in: 0..<64, using: &random)
            let time = Int64.random(in: 0..<40, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0, 1:
                queue.set(key, to: Instant(nanoseconds: time))
                model[key] = time
            case 2:
                queue.remove(key)
                model[key] = nil
            default:
                let popped = queue.popDue(now: Instant(nanoseconds: time))
                let earliest = model.values.min()
                if let popped {
                    #expect(model[popped] == earliest && earliest.map { $0 <= time } == true)
                    model[popped] = nil
                } else {
                    #expect(earliest.map { $0 > time } ?? true)
                }
            }
            if step % 16 == 0 { queue._checkInvariants() }
            #expect(queue.count == model.count)
            #expect(queue.next?.nanoseconds == model.values.min())
            #expect(queue.time(of: key)?.nanoseconds == model[key])
        }
    }
}
