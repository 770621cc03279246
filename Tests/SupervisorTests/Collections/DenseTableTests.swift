import Testing

@testable import Supervisor

@Suite struct DenseTableTests {
    /// Counts those of its kind that live.
    private final class Census {
        var living = 0
    }

    /// Internal, as every element of a table must be.
    struct Guest: ~Copyable {
        let number: Int
        let leave: () -> Void

        deinit { self.leave() }
    }

    @Test func keepsItsElementsWhenItGrows() {
        var table = DenseTable<Int>()
        for number in 0..<1000 { table.append(number * number) }
        table[500] += 1
        let (count, last, changed) = (table.count, table[999], table[500])
        #expect(count == 1000 && last == 998_001 && changed == 250_001)
    }

    @Test func makesElementsUpToANumber() {
        var table = DenseTable<Int>()
        table.grow(toHold: 6) { 7 }
        table.grow(toHold: 2) { 8 }
        let (count, first, last) = (table.count, table[0], table[6])
        #expect(count == 7 && first == 7 && last == 7)
        let removed = table.removeLast()
        let left = table.count
        #expect(removed == 7 && left == 6)
    }

    @Test func letsEveryElementGoOnce() {
        let census = Census()
        do {
            var table = DenseTable<Guest>()
            for number in 0..<100 {
                census.living += 1
                table.append(Guest(number: number) { census.living -= 1 })
            }
            let seventh = table[7].number
            #expect(seventh == 7 && census.living == 100)
            _ = table.removeLast().number
            #expect(census.living == 99)
        }
        #expect(census.living == 0)
    }
}
