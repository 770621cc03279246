/// Which slow calls are logged: those that took longer than `logging.slow_request`, at most ten a second, so that a pool
/// that has become slow does not fill the log with what it says anyway.
struct SlowCalls {
    private static let perSecond = 10

    /// A call that took longer is slow.
    let limit: Nanoseconds
    private var secondEnd = Instant(nanoseconds: .min)
    private var logged = 0
    private var leftOut = 0

    /// - Parameter limit: nil: no call is slow.
    init(limit: Nanoseconds?) { self.limit = limit ?? .max }

    /// A slow call was answered.
    ///
    /// - Returns: how many were left out since the last one that was logged; nil: this one is left out as well.
    mutating func admit(at now: Instant) -> Int? {
        if now >= self.secondEnd {
            self.secondEnd = now.advanced(by: .seconds(1))
            self.logged = 0
        }
        guard self.logged < Self.perSecond else {
            self.leftOut += 1
            return nil
        }
        self.logged += 1
        defer { self.leftOut = 0 }
        return self.leftOut
    }
}
