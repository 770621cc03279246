/// The guards of the promises, each of which a test can take away to see that the promise's own test would notice.
///
/// Only debug builds and the simulation's build (`-D MUTATIONS`) know the switch: in a program that is delivered
/// every guard holds, and asking costs nothing.
enum Guard: String, CaseIterable, Sendable {
    /// P6: a queue takes no more calls than `queue_size`.
    case queueBound
    /// P11: the old process serves until the new one is ready.
    case readyFirst
    /// P11: the first new process that does not become ready ends a rollout.
    case abortAtFirstFailure
    /// P11: a pool that shrinks by itself lets its busy workers be.
    case neverBusy
    /// P10: a worker above its hard memory limit is killed.
    case memoryLimit
    /// Retry: at most 20 % of the calls in flight are retries, or 3.
    case retryBudget
    /// Retry: a call is sent once more, not again and again.
    case retryOnce
    /// Retry: on another worker than the one that lost the call.
    case retryElsewhere
    /// Retry: a request that cost two workers their lives is refused.
    case poison
    /// Ejection: five worker faults in a row take a worker out of balancing.
    case ejection
    /// Ejection: never more than half the pool.
    case ejectedShare
    /// P15: a worker's fault counts as 5 s, so that failing fast does not attract calls.
    case slowFaults
}

extension SupervisorCore {
    /// Whether a guard is in force: always, but in a test that took it away.
    @inline(__always)
    func holds(_ guard: Guard) -> Bool {
        #if DEBUG || MUTATIONS
            return self.removedGuard != `guard`
        #else
            return true
        #endif
    }
}
