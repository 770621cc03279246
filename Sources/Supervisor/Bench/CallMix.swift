/// Chooses the calls of a load: which method, by weight, and whether it asks anew or repeats an earlier question.
struct CallMix {
    private struct Kind {
        var template: CallTemplate
        /// The sum of the weights up to and with this one.
        var reach: UInt64
        /// Different questions asked so far.
        var questions: UInt64 = 0
    }

    /// A call repeats one of so many last questions: few enough to be in a cache of the default size.
    static let memory: UInt64 = 1000
    private static let numberLimit: UInt64 = 1_000_000_000_000

    private var kinds: [Kind]
    /// The share of calls that repeat a question, of 2³².
    private let repeats: UInt64
    private var generator: SeededGenerator
    /// The number of the first question. It differs from run to run: what an earlier run asked is in the cache.
    private let first: UInt64

    /// - Parameters:
    ///   - calls: at least one, each with a weight of at least 1.
    ///   - repeats: the share of calls that repeat an earlier one's params, 0…1.
    init(_ calls: [(template: CallTemplate, weight: Int)], repeats: Double = 0, seed: UInt64) {
        var reach: UInt64 = 0
        self.kinds = calls.map { call in
            reach += UInt64(call.weight)
            return Kind(template: call.template, reach: reach)
        }
        precondition(reach > 0, "no calls")
        self.repeats = UInt64(repeats * 4_294_967_296)
        self.generator = SeededGenerator(seed: seed)
        self.first = self.generator.next() % Self.numberLimit
    }

    /// Appends the next call, with that id.
    mutating func appendNext(id: UInt64, to output: inout [UInt8]) {
        let kind = self.kinds.count == 1 ? 0 : self.chooseKind()
        let number = self.kinds[kind].template.isVaried ? self.chooseQuestion(of: kind) : 0
        self.kinds[kind].template.append(id: id, number: number, to: &output)
    }

    private mutating func chooseKind() -> Int {
        let point = self.below(self.kinds[self.kinds.count - 1].reach)
        return self.kinds.firstIndex { point < $0.reach } ?? 0
    }

    private mutating func chooseQuestion(of kind: Int) -> UInt64 {
        let questions = self.kinds[kind].questions
        let repeatsOne = questions > 0 && self.repeats > 0 && self.generator.next() >> 32 < self.repeats
        guard repeatsOne else {
            self.kinds[kind].questions += 1
            return (self.first + questions) % Self.numberLimit
        }
        let age = self.below(min(questions, Self.memory))
        return (self.first + questions - 1 - age) % Self.numberLimit
    }

    /// The bias towards small numbers is far below what a load could show.
    private mutating func below(_ limit: UInt64) -> UInt64 { self.generator.next() % limit }
}
