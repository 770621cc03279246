import Testing

@testable import Supervisor

@Suite struct SlotMapTests {
    @Test func findsNothingByAStaleToken() {
        var map = SlotMap<String>()
        let first = map.insert("a")
        map.remove(first)
        #expect(map.contains(first) == false)
        let second = map.insert("b")
        #expect(second.index == first.index)
        #expect(map.contains(first) == false)
        #expect(map[second] == "b")
    }

    @Test func findsNothingByTheGenerationOfAFreeSlot() {
        var map = SlotMap<String>()
        let token = map.insert("a")
        map.remove(token)
        #expect(map.contains(Token(index: token.index, generation: token.generation + 1)) == false)
        #expect(map.contains(Token(index: 99, generation: 1)) == false)
        #expect(map.token(at: 0) == nil)
    }

    @Test func keepsATokenInOneWord() {
        let token = Token<Int>(index: 0xFFFF_FFFE, generation: 0x8000_0001)
        #expect(Token<Int>(word: token.word) == token)
    }

    @Test func keepsWhatAFreedSlotHeldForItsNextTenant() {
        var map = SlotMap<[Int]>()
        map.remove(map.insert([1, 2]))
        let token = map.claim(fresh: [])
        #expect(map[token] == [1, 2])
    }

    @Test func destroysWhatItHolds() {
        final class Guest {}
        weak var living: Guest?
        weak var freed: Guest?
        do {
            var map = SlotMap<Guest>()
            let guests = (0..<9).map { _ in Guest() }
            let tokens = guests.map { map.insert($0) }
            map.remove(tokens[3])
            (freed, living) = (guests[3], guests[8])
        }
        #expect(freed == nil && living == nil)
    }

    @Test func agreesWithADictionary() {
        var random = SeededGenerator(seed: 9)
        var map = SlotMap<Int>()
        var model: [Token<Int>: Int] = [:]
        var dead: [Token<Int>] = []
        for step in 0..<20_000 {
            if Bool.random(using: &random) || model.isEmpty {
                model[map.insert(step)] = step
            } else if let token = map.tokens.randomElement(using: &random) {
                map.remove(token)
                model[token] = nil
                dead.append(token)
            }
            #expect(map.count == model.count)
            if step % 100 == 0 {
                map._checkInvariants()
                #expect(Set(map.tokens) == Set(model.keys))
                for (token, element) in model { #expect(map[token] == element) }
                for token in dead.suffix(50) { #expect(map.contains(token) == false) }
            }
        }
    }
}

@Suite struct SeededGeneratorTests {
    /// The reference implementations of SplitMix64 and xoshiro256**, run one after the other.
    @Test(arguments: [
        (UInt64(0), [UInt64(0x99EC_5F36_CB75_F2B4), 0xBF6E_1F78_4956_452A, 0x1A5F_849D_4933_E6E0])
    ])
    func givesTheNumbersOfTheReference(seed: UInt64, expected: [UInt64]) {
        var generator = SeededGenerator(seed: seed)
        #expect(expected.map { _ in generator.next() } == expected)
    }

    @Test func isDeterminedByItsSeed() {
        var first = SeededGenerator(seed: 7)
        var second = SeededGenerator(seed: 7)
        var other = SeededGenerator(seed: 8)
        let numbers = (0..<50).map { _ in first.next() }
        #expect(numbers == (0..<50).map { _ in second.next() })
        #expect(numbers != (0..<50).map { _ in other.next() })
    }
}
