/// How much load, how fast and for how long.
struct LoadPlan: Equatable {
    /// When calls are sent.
    enum Pace: Equatable {
        /// A new call as soon as one is answered: what the server takes.
        case closed
        /// So many calls a second in all, each at its time, whether the server keeps up or not.
        case rate(Int)
    }

    /// When it is enough.
    enum Extent: Equatable {
        /// The first part is sent and not counted.
        case time(warmup: Nanoseconds, measured: Nanoseconds)
        case calls(Int)
    }

    var connections: Int
    /// Calls that a connection has in flight, at most.
    var depth: Int
    var pace = Pace.closed
    var extent: Extent

    /// Calls that are in flight in all, at most.
    var slots: Int { self.connections * self.depth }
}

/// The times at which the calls of a fixed rate are due: evenly apart, whatever becomes of the calls before.
struct LoadSchedule {
    private let rate: Int64
    private let origin: Instant
    private var taken: Int64 = 0

    /// - Parameter rate: calls a second, at least 1.
    init(rate: Int, from origin: Instant) {
        self.rate = Int64(rate)
        self.origin = origin
    }

    /// When the next call is due. The n-th of 3 a second is due after n/3 s, without a sum of rounded intervals.
    var next: Instant {
        let (seconds, rest) = self.taken.quotientAndRemainder(dividingBy: self.rate)
        return self.origin.advanced(by: .seconds(seconds) + rest * .seconds(1) / self.rate)
    }

    /// Takes the next call: it is sent, or given up.
    mutating func take() -> Instant {
        defer { self.taken += 1 }
        return self.next
    }
}
