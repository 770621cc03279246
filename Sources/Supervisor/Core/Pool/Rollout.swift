/// Workers being exchanged one after the other because an operator asked for it.
///
/// Rollouts wait for each other in the order in which they were asked for; only the first one is under way. It
/// ends with its last worker, or with the first new process that does not become ready: then everything that
/// still serves goes on doing so.
struct Rollout {
    enum Kind: Equatable {
        /// All workers, or one.
        case restart(Place?)
        /// The configuration is read again, then all workers are exchanged.
        case reload
    }

    /// A slot of a pool.
    struct Place: Equatable, Sendable {
        var pool: Int
        var slot: Int
    }

    /// An operator's call that waits for the rollout.
    struct Waiter {
        var request: RequestToken
        /// Answered when the last replaced process is gone; else as soon as the rollout has begun.
        var untilDone: Bool
    }

    /// What became of one slot.
    struct Step {
        var place: Place
        /// The ids of the process that was there, if any, and of the one that is there now.
        var old: String?
        var new: String?
    }

    let kind: Kind
    /// Who asked for it, for the log.
    let origin: String
    var hasBegun = false
    var waiters: [Waiter] = []
    /// Still to be done, the next one last.
    var remaining: [Place] = []
    /// Where a process is being exchanged.
    var active: Place?
    var steps: [Step] = []
    /// Keys that were changed in the file and need a restart of the supervisor.
    var restartRequired: [String] = []
    /// What an abort goes back to: the configuration, and the least and most workers of its pools.
    var previous: (configuration: Configuration, sizes: [ClosedRange<Int>])?

    /// Whether all workers are exchanged.
    var isOfAll: Bool {
        switch self.kind {
        case .reload, .restart(nil): true
        case .restart: false
        }
    }
}
