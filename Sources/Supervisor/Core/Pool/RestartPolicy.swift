/// When a slot's next process may start (promises, "Restart").
///
/// A process that dies before it has answered a call *failed to start*: each such death in a row doubles the
/// wait, and enough of them within a window quarantine the slot. A process that dies in service is replaced
/// after the shortest wait, whatever happens, unless it does so all the time.
struct RestartPolicy: Equatable, Sendable {
    enum Verdict: Equatable, Sendable {
        case restart(after: Nanoseconds)
        /// Tried again now and then, or by an operator.
        case quarantine
    }

    /// Deaths in service within a minute beyond which the pool counts as degraded.
    private static let serviceDeathLimit = 20
    private static let serviceWindow = Nanoseconds.seconds(60)
    /// How long a worker must be ready for its slot's failed starts to be forgotten.
    static let forgivenAfter = Nanoseconds.seconds(10)
    /// Between two tries of a quarantined slot.
    static let quarantineRetry = Nanoseconds.seconds(60)
    /// The same while the pool has no ready worker.
    static let quarantineRetryAlone = Nanoseconds.seconds(5)

    private(set) var failedStartsInARow = 0
    private var failedStarts: [Instant] = []
    private var serviceDeaths: [Instant] = []
    /// Once quarantined, a slot stays so until it is forgiven: its tries are too rare to fall into one window.
    private var isQuarantined = false
    /// Until when the deaths in service are too many for one minute.
    private var flapsUntil: Instant?

    /// A process died before it answered a call.
    ///
    /// - Parameter chance: uniform in 0..<1; decides how much of the jitter is taken off the wait.
    mutating func failedStart(
        at now: Instant, _ settings: Configuration.Restart, chance: Double
    ) -> Verdict {
        self.failedStartsInARow += 1
        self.failedStarts.append(now)
        self.failedStarts.removeAll { now.duration(since: $0) > settings.window }
        if self.failedStarts.count > settings.maxDeaths { self.failedStarts.removeFirst() }
        if self.failedStartsInARow >= settings.maxDeaths, self.failedStarts.count >= settings.maxDeaths {
            self.isQuarantined = true
        }
        guard !self.isQuarantined else { return .quarantine }
        var wait = settings.backoffInitial
        for _ in 1..<min(self.failedStartsInARow, 63) where wait < settings.backoffMax { wait *= 2 }
        return .restart(
            after: Self.jittered(min(wait, settings.backoffMax), settings, chance: chance))
    }

    /// A process died that had answered calls.
    mutating func diedInService(
        at now: Instant, _ settings: Configuration.Restart, chance: Double
    ) -> Verdict {
        let limit = max(Self.serviceDeathLimit, settings.maxDeaths)
        self.serviceDeaths.append(now)
        self.serviceDeaths.removeAll { now.duration(since: $0) > Self.serviceWindow }
        if self.serviceDeaths.count > limit + 1 { self.serviceDeaths.removeFirst() }
        self.flapsUntil =
            self.serviceDeaths.count > limit ? self.serviceDeaths[0].advanced(by: Self.serviceWindow) : nil
        let wait =
            self.isFlapping(at: now) ? max(.seconds(1), settings.backoffInitial) : settings.backoffInitial
        return .restart(after: Self.jittered(wait, settings, chance: chance))
    }

    /// Whether it dies in service all the time.
    func isFlapping(at now: Instant) -> Bool { self.flapsUntil.map { now <= $0 } ?? false }

    /// A call was answered, or the worker has been ready long enough.
    mutating func forgiveFailedStarts() {
        self.isQuarantined = false
        self.failedStartsInARow = 0
        self.failedStarts.removeAll()
    }

    private static func jittered(
        _ wait: Nanoseconds, _ settings: Configuration.Restart, chance: Double
    ) -> Nanoseconds {
        wait - Nanoseconds(Double(wait) * settings.jitter * chance)
    }
}
