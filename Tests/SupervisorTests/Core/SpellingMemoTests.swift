import Testing

@testable import Supervisor

@Suite("How keys were spelled before")
struct SpellingMemoTests {
    private struct Noted: Equatable {
        var canonical: [UInt8]
        var hash: UInt32
    }

    private static func note(_ memo: inout SpellingMemo, _ spelled: [UInt8], _ noted: Noted) {
        spelled.withUnsafeBytes { spelled in
            noted.canonical.withUnsafeBytes { memo.note(spelled, canonical: $0, hash: noted.hash) }
        }
    }

    private static func find(_ memo: borrowing SpellingMemo, _ spelled: [UInt8]) -> Noted? {
        spelled.withUnsafeBytes { spelled in
            memo.find(spelled).map { Noted(canonical: Array($0.canonical), hash: $0.hash) }
        }
    }

    @Test("what was noted is found by the same bytes, and by no others")
    func exact() {
        var memo = SpellingMemo()
        let spelled = Array("generation method {\"b\":1, \"a\":2}".utf8)
        let noted = Noted(canonical: Array("{\"a\":2,\"b\":1}".utf8), hash: 7)
        #expect(Self.find(memo, spelled) == nil)
        Self.note(&memo, spelled, noted)
        #expect(Self.find(memo, spelled) == noted)
        for place in spelled.indices {
            var other = spelled
            other[place] ^= 1
            #expect(Self.find(memo, other) == nil)
        }
        #expect(Self.find(memo, spelled + [0]) == nil)
        #expect(Self.find(memo, Array(spelled.dropLast())) == nil)
    }

    @Test("of more than there is room for, most of the newest are found, each with what it became")
    func crowded() {
        var memo = SpellingMemo()
        func spelled(_ number: Int) -> [UInt8] { Array("key number \(number) of many".utf8) }
        func noted(_ number: Int) -> Noted { Noted(canonical: Array("\(number)".utf8), hash: UInt32(number)) }
        for number in 0..<20_000 where Self.find(memo, spelled(number % 9000)) == nil {
            Self.note(&memo, spelled(number % 9000), noted(number % 9000))
        }
        var found = 0
        for number in 0..<9000 {
            guard let known = Self.find(memo, spelled(number)) else { continue }
            #expect(known == noted(number))
            if (1000..<2000).contains(number) { found += 1 }
        }
        #expect(found > 500)
    }

    @Test(
        "what does not fit into a slot, and what has no bytes, is not kept",
        arguments: [0, 7, 8, 495, 496, 497, 5000])
    func sizes(count: Int) {
        var memo = SpellingMemo()
        let spelled = [UInt8](repeating: 0x61, count: count)
        let noted = Noted(canonical: [], hash: 1)
        Self.note(&memo, spelled, noted)
        #expect(Self.find(memo, spelled) == ((8...496).contains(count) ? noted : nil))
        let large = Noted(canonical: [UInt8](repeating: 0x62, count: 496), hash: 2)
        Self.note(&memo, spelled, large)
        #expect(Self.find(memo, spelled) != large)
    }
}
