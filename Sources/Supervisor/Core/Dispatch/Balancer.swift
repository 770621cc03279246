/// Chooses a worker among those of a pool that have a slot free.
enum Balancer {
    /// What a strategy needs to know of a worker.
    struct Candidate: Equatable {
        var token: WorkerToken
        var slot: Int
        var inFlight: Int
        var maxConcurrency: Int
    }

    /// The next one in slot order.
    ///
    /// - Parameter turn: the slot to begin with; moved behind the chosen one.
    static func roundRobin(_ candidates: [Candidate], turn: inout Int) -> Candidate? {
        let chosen = candidates.first { $0.slot >= turn } ?? candidates.first
        if let chosen { turn = chosen.slot + 1 }
        return chosen
    }

    /// The one with the fewest calls in flight per slot; ties go round in turn.
    static func leastLoad(_ candidates: [Candidate], turn: inout Int) -> Candidate? {
        var best: Candidate?
        for candidate in candidates {
            guard let current = best else {
                best = candidate
                continue
            }
            // a/m < b/n without division
            let left = candidate.inFlight * current.maxConcurrency
            let right = current.inFlight * candidate.maxConcurrency
            if left < right || left == right && current.slot < turn && candidate.slot >= turn {
                best = candidate
            }
        }
        if let best { turn = best.slot + 1 }
        return best
    }

    /// Two different ones of so many candidates at random, of which the one with the lower expected wait is to be taken (power
    /// of two choices: M. Mitzenmacher, 2001); nil when there are not two.
    static func pair(of count: Int, random: inout SeededGenerator) -> (left: Int, right: Int)? {
        guard count > 1 else { return nil }
        let left = Int.random(in: 0..<count, using: &random)
        let right = Int.random(in: 0..<count - 1, using: &random)
        return (left, right >= left ? right + 1 : right)
    }

    /// The middle one of the values by size, of two middle ones the larger; nil when there are none.
    ///
    /// In place, without allocation, O(count) on average (quickselect: C. A. R. Hoare, 1961). The values are left
    /// in another order.
    static func median(_ values: inout [Double]) -> Double? {
        guard !values.isEmpty else { return nil }
        let middle = values.count / 2
        var (low, high) = (0, values.count - 1)
        while low < high {
            let pivot = values[(low + high) / 2]
            var (left, right) = (low, high)
            while left <= right {
                while values[left] < pivot { left += 1 }
                while values[right] > pivot { right -= 1 }
                guard left <= right else { break }
                values.swapAt(left, right)
                left += 1
                right -= 1
            }
            if middle <= right {
                high = right
            } else if middle >= left {
                low = left
            } else {
                break
            }
        }
        return values[middle]
    }
}

/// An average of latencies that rises at once with a slow call and forgets it slowly (peak EWMA).
struct PeakLatency: Equatable, Sendable {
    /// After this time a peak has lost all but 1/e of its weight.
    private static let decay = Double(Nanoseconds.seconds(10))
    /// What a worker's own fault counts as.
    static let fault = Nanoseconds.seconds(5)

    private var nanoseconds: Double?
    private var measuredAt = Instant(nanoseconds: 0)

    /// The latency to expect now; nil without a measurement. It is forgotten also while nothing is measured:
    /// else a worker that was slow once would never be tried again.
    func expected(at now: Instant) -> Double? {
        self.nanoseconds.map { $0 * Self.kept(after: Double(now.duration(since: self.measuredAt))) }
    }

    /// What is left of an old measurement: (1 + t/8τ)⁻⁸ ≈ exp(-t/τ), without libm.
    private static func kept(after elapsed: Double) -> Double {
        let base = 1 + elapsed / Self.decay / 8
        let square = base * base
        return 1 / (square * square * square * square)
    }

    mutating func record(_ latency: Nanoseconds, at now: Instant) {
        let sample = Double(max(1, latency))
        guard let average = self.nanoseconds, sample < average else {
            self.nanoseconds = sample
            self.measuredAt = now
            return
        }
        let elapsed = Double(now.duration(since: self.measuredAt))
        let kept = Self.kept(after: max(elapsed, sample))
        self.nanoseconds = average * kept + sample * (1 - kept)
        self.measuredAt = now
    }
}
