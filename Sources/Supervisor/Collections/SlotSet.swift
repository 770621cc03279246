/// A set of small dense numbers, such as the slots of a pool, a bit for each.
///
/// O(1) to change. To find the next of those there are, or the one of a rank, takes a few instructions for every 64
/// numbers.
struct SlotSet: ~Copyable {
    private var words = DenseTable<UInt64>()
    private(set) var count = 0

    init() {}

    // Of a signed number these would take a dozen instructions.
    private static func word(_ slot: Int) -> Int { Int(UInt(slot) / 64) }
    private static func bit(_ slot: Int) -> UInt64 { UInt64(slot) & 63 }

    func contains(_ slot: Int) -> Bool {
        Self.word(slot) < self.words.count && self.words[Self.word(slot)] &>> Self.bit(slot) & 1 == 1
    }

    mutating func insert(_ slot: Int) {
        self.words.grow(toHold: Self.word(slot)) { 0 }
        guard self.words[Self.word(slot)] &>> Self.bit(slot) & 1 == 0 else { return }
        self.words[Self.word(slot)] |= 1 &<< Self.bit(slot)
        self.count += 1
    }

    mutating func remove(_ slot: Int) {
        guard self.contains(slot) else { return }
        self.words[Self.word(slot)] &= ~(1 &<< Self.bit(slot))
        self.count -= 1
    }

    mutating func removeAll() {
        for word in 0..<self.words.count { self.words[word] = 0 }
        self.count = 0
    }

    /// The least that is not below that number.
    func first(from start: Int) -> Int? {
        var index = Self.word(start)
        guard index < self.words.count else { return nil }
        var word = self.words[index] & (.max &<< Self.bit(start))
        while word == 0 {
            index += 1
            guard index < self.words.count else { return nil }
            word = self.words[index]
        }
        return index * 64 + word.trailingZeroBitCount
    }

    /// The one that so many others are below.
    func element(at rank: Int) -> Int? {
        var rest = rank
        for index in 0..<self.words.count {
            var word = self.words[index]
            guard rest < word.nonzeroBitCount else {
                rest -= word.nonzeroBitCount
                continue
            }
            for _ in 0..<rest { word &= word &- 1 }
            return index * 64 + word.trailingZeroBitCount
        }
        return nil
    }
}
