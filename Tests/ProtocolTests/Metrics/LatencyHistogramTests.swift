import Glibc
import Testing

@testable import Protocol

@Suite struct LatencyHistogramTests {
    /// Nanoseconds by a uniform number in 0..<1.
    private static let distributions: [(name: String, value: @Sendable (Double) -> Double)] = [
        ("uniform", { 100_000 + 900_000 * $0 }),
        // 1 ms in the median, a factor of e a standard deviation; the logistic curve for the normal one's.
        ("log-normal", { 1e6 * exp(0.55 * Glibc.log(($0 + 1e-9) / (1 - $0))) }),
        ("bimodal", { $0 < 0.9 ? 200_000 + 1000 * $0 : 2e9 + 1e9 * $0 }),
        ("heavy tail", { 50_000 / (1.000_001 - $0) }),
        ("microseconds", { 1000 + 9000 * $0 }),
        ("microseconds to minutes", { 1000 * exp2(29.5 * $0) }),
        ("all equal", { _ in 1_234_567 }),
        ("minutes to hours", { 6e10 + 3e13 * $0 }),
    ]

    @Test(arguments: Self.distributions.indices)
    func isWithinOnePercentOfTheSortedTruth(index: Int) throws {
        var random = SplitMix64(seed: 11)
        var histogram = LatencyHistogram()
        let all = (0..<10_000).map { _ in
            Int64(Self.distributions[index].value(Double.random(in: 0..<1, using: &random)))
        }
        for value in all { histogram.record(nanoseconds: value) }
        let sorted = all.sorted()
        for share in [0.01, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1] {
            let truth = Double(sorted[Int((share * 10_000).rounded(.up)) - 1])
            let found = Double(try #require(histogram.quantile(share)))
            #expect(
                abs(found - truth) <= truth / 100,
                "\(Self.distributions[index].name) p\(share): \(found) for \(truth)")
        }
        #expect(histogram.count == 10_000)
        #expect(histogram.sum == UInt64(all.reduce(0, +)))
        #expect(histogram.minimum == UInt64(sorted[0]))
        #expect(histogram.maximum == UInt64(sorted[9_999]))
    }

    @Test func standsForEveryDurationByOneThatIsNearlyIt() throws {
        var duration: Int64 = 1000
        while duration < 7e13.integer {
            for value in [duration - 1, duration, duration + 1] {
                var histogram = LatencyHistogram()
                histogram.record(nanoseconds: value)
                histogram.record(nanoseconds: 0)
                histogram.record(nanoseconds: .max)
                let found = Double(try #require(histogram.quantile(0.6)))
                #expect(abs(found - Double(value)) <= Double(value) / 127, "\(found) for \(value)")
            }
            duration = duration * 33 / 32
        }
    }

    @Test func isWholeWhenItIsMergedFromParts() {
        var random = SplitMix64(seed: 5)
        var whole = LatencyHistogram()
        var parts = Array(repeating: LatencyHistogram(), count: 7)
        for _ in 0..<5000 {
            let value = Int64.random(in: 0...1 << Int64.random(in: 4...40, using: &random), using: &random)
            whole.record(nanoseconds: value)
            parts[Int.random(in: 0..<7, using: &random)].record(nanoseconds: value)
        }
        var merged = LatencyHistogram()
        for part in parts.shuffled(using: &random) { merged.merge(part) }
        #expect(merged.count == whole.count)
        #expect(merged.sum == whole.sum)
        #expect(merged.minimum == whole.minimum)
        #expect(merged.maximum == whole.maximum)
        for share in stride(from: 0.0, through: 1, by: 0.01) {
            #expect(merged.quantile(share) == whole.quantile(share))
        }
    }

    @Test(arguments: [Int64.min, -1, 0, 1, 15, 16, 1023, 1024, 1 << 46, .max])
    func takesAnyDuration(duration: Int64) {
        var histogram = LatencyHistogram()
        histogram.record(nanoseconds: duration)
        #expect(histogram.count == 1)
        #expect(histogram.quantile(0) == UInt64(max(0, duration)))
        #expect(histogram.quantile(1) == UInt64(max(0, duration)))
    }

    @Test func doesNotOverflow() {
        var histogram = LatencyHistogram()
        for _ in 0..<3 { histogram.record(nanoseconds: .max) }
        #expect(histogram.sum == .max)
    }

    @Test func hasNothingToSayWithoutDurations() {
        let histogram = LatencyHistogram()
        #expect(histogram.quantile(0.5) == nil)
        #expect(histogram.average == nil)
        #expect((histogram.minimum, histogram.maximum) == (0, 0))
        #expect(histogram.bytes == 0)
    }

    @Test func takesMemoryOnlyForWhatItWasGiven() {
        var histogram = LatencyHistogram()
        for value in Int64(200_000)..<201_000 { histogram.record(nanoseconds: value) }
        #expect(histogram.bytes < 1024)
        histogram.clear()
        #expect(histogram.quantile(0.5) == nil)
        let bytes = histogram.bytes
        for value in Int64(200_000)..<201_000 { histogram.record(nanoseconds: value) }
        #expect(histogram.bytes == bytes)
    }

    @Test func showsEveryDurationInOrder() {
        var histogram = LatencyHistogram()
        for nanoseconds: Int64 in [1_500_000, 75_000, 1_500_000, 8] {
            histogram.record(nanoseconds: nanoseconds)
        }
        var durations: [UInt64] = []
        var counts: [UInt64] = []
        histogram.forEachDuration {
            durations.append($0)
            counts.append($1)
        }
        #expect(counts == [1, 1, 2])
        #expect(durations[0] == 0 && durations == durations.sorted())
        #expect(abs(Double(durations[1]) - 75_000) < 750 && abs(Double(durations[2]) - 1_500_000) < 15_000)
    }
}

extension Double {
    fileprivate var integer: Int64 { Int64(self) }
}
