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
