/// One process of a pool being exchanged for a new one in the same slot: the new one is ready before the old one
/// goes. There is at most one exchange in a pool, so that a pool has at most one process too many.
struct Exchange: Equatable {
    enum Stage: Equatable {
        /// The new process starts, and the old one serves on, or is leaving if it did not serve; nil when there was
        /// none, or it is gone.
        /// → leaving, or over
        case starting(WorkerToken, old: WorkerToken?)
        /// The new process serves, the old one finishes its calls. → over when the old one is gone
        case leaving(WorkerToken)
    }

    let slot: Int
    /// Why the old process leaves.
    let reason: DepartureReason
    var stage: Stage

    /// The process that is to take the slot, while it is not ready.
    var newcomer: WorkerToken? {
        if case .starting(let newcomer, _) = self.stage { return newcomer }
        return nil
    }
}
