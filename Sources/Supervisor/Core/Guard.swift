/// The guards of the promises, each of which a test can take away to see that the promise's own test would notice.
///
/// Only debug builds and the simulation's build (`-D MUTATIONS`) know the switch: in a program that is delivered
/// every guard holds, and asking costs nothing.
enum Guard: String, CaseIterable, Sendable {
    /// P1: a caller is answered when its time is over.
    case answerAtDeadline
    /// P2: a reply counts only from the worker that has the call.
    case replyOfItsWorker
    /// P2: the number of a call that is over finds none, also when its slot has a new tenant.
    case callGeneration
    /// P3: the calls of a dead worker are answered.
    case answerOnDeath
    /// P3: only an idempotent call is sent twice.
    case retryIdempotentOnly
    /// P4: the wait doubles with each failed start in a row.
    case backoffGrowth
    /// P4: too many failed starts in a row quarantine a slot.
    case quarantine
    /// P5: a call that was given up on keeps its slot until its worker is done with it.
    case abandonedKeepsSlot
    /// P5: a worker that goes on with such a call beyond its grace is replaced.
    case overrun
    /// P5: a worker gets as many calls as it takes.
    case slotLimit
    /// P6: a queue takes no more calls than `queue_size`.
    case queueBound
    /// P6: a connection has no more calls in flight than `limits.in_flight_per_connection`.
    case inFlightLimit
    /// P6: a slot that comes free takes the next call at once.
    case dispatchWhenFree
    /// P7: a client that does not read is not read from.
    case pauseSlowClients
    /// P7: a client that takes nothing for too long is let go.
    case writeStall
    /// P7: a worker that does not read gets no more calls.
    case inputWatermark
    /// P8: a reply that cannot be read ends its call.
    case unreadableReply
    /// P8: what is no JSON is answered.
    case answerGarbage
    /// P9: a worker that floods its stdout is replaced.
    case noiseFlood
    /// P10: a process that is not ready in time is ended.
    case startTimeout
    /// P10: SIGKILL follows SIGTERM.
    case killAfterTerm
    /// P12: what is open at the end of the grace is answered.
    case shutdownGrace
    /// P12: no new calls while the supervisor stops.
    case refuseWhileStopping
    /// P13: a worker is told that nobody waits for a call any more.
    case cancelSent
    /// P13: a cancelled call leaves the queue.
    case cancelQueued
    /// Protocol §3: operators' methods are for operators only.
    case operatorsOnly
    /// P11: the old process serves until the new one is ready.
    case readyFirst
    /// P11: the first new process that does not become ready ends a rollout.
    case abortAtFirstFailure
    /// P11: a pool whose slots have all been taken for a while gets one more worker.
    case growWhenFull
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
    /// P14: nothing that was stored or begun before a clear, another epoch or a rollout is served after it.
    case generation
    /// P14: equal calls in flight share one call to a worker.
    case singleFlight
    /// P14: a call that nobody waits for any more is taken back from the worker.
    case flightBound
    /// P14: when the worker of a shared call dies, one of those who wait leads, once.
    case takeover
    /// P14: what a worker of another epoch than the pool's answers is neither stored nor joined.
    case workerEpoch
    /// P14: vectors of two models never stand in one answer.
    case oneModel
    /// P14: vectors that were asked for before a clear are not stored after it.
    case embeddingGeneration
    /// Streams: before the answer comes one final chunk, whatever ends the call.
    case finalChunk
    /// Streams: nothing follows the final chunk but the answer.
    case noChunkAfterFinal
    /// Streams: what waits of one for its client is bounded.
    case streamBound
    /// Streams: a call of which a chunk was passed on is not sent again.
    case retryBeforeChunks
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
