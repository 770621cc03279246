import Testing

@testable import Supervisor

@Suite struct SlotListTests {
    @Test func keepsTheOrderOfBothEnds() {
        var links = SlotLinks()
        var list = SlotList()
        #expect(list.isEmpty && list.first == nil)
        list.append(4, &links)
        list.append(0, &links)
        list.prepend(9, &links)
        let slots = list.slots(links)
        #expect(slots == [9, 4, 0])
        #expect(list.first == 9 && list.count == 3)
        let (second, third) = (SlotList.next(after: 4, links), SlotList.next(after: 0, links))
        #expect(second == 0 && third == nil)
    }

    /// Three lists that share their links, as those of a table do.
    @Test(arguments: UInt64(1)...3)
    func agreesWithArrays(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var links = SlotLinks()
        var lists = [SlotList(), SlotList(), SlotList()]
        var model: [[Int]] = [[], [], []]
        for step in 0..<20_000 {
            let slot = Int.random(in: 0..<40, using: &random)
            if let holder = model.firstIndex(where: { $0.contains(slot) }) {
                lists[holder].remove(slot, &links)
                model[holder].removeAll { $0 == slot }
            } else {
                let target = Int.random(in: 0..<3, using: &random)
                if Bool.random(using: &random) {
                    lists[target].append(slot, &links)
                    model[target].append(slot)
                } else {
                    lists[target].prepend(slot, &links)
                    model[target].insert(slot, at: 0)
                }
            }
            #expect(lists.map(\.first) == model.map(\.first))
            #expect(lists.map(\.count) == model.map(\.count))
            if step % 100 == 0 {
                for (index, list) in lists.enumerated() {
                    let slots = list.slots(links)
                    #expect(slots == model[index])
                    list._checkInvariants(links)
                }
            }
        }
    }
}
