import Protocol

/// Workers being exchanged one after the other because an operator asked for it.
///
/// Rollouts wait for each other in the order in which they were asked for; only the first one is under way. It
/// ends with its last worker, or with the first new process that does not become ready: then everything that
/// still serves goes on doing so. New configurations come in by rollouts, too, so that one of them is whole before
/// the next begins.
struct Rollout {
    enum Kind: Equatable {
        /// All workers, or one.
        case restart(Place?)
        /// The configuration is read again, then all workers are exchanged.
        case reload
        /// A partial configuration is taken, then those workers are exchanged that were started by another one.
        case update(JSON5Value)
    }

    /// A slot of a pool.
    struct Place: Equatable, Sendable {
        var pool: Int
        var slot: Int
    }

    /// An operator's call that waits for the rollout.
    struct Waiter {
        /// What it is told, and when.
        enum Report {
            /// The workers that will be exchanged, as soon as the rollout has begun.
            case plan
            /// The workers that were exchanged, when the last replaced process is gone.
            case steps
            /// What has changed in the configuration, also then.
            case changes
        }

        var request: RequestToken
        var report: Report
    }

    /// What an abort goes back to.
    struct Previous {
        var configuration: Configuration
        var source: ConfigurationSource
        /// Least and most workers of the pools.
        var sizes: [ClosedRange<Int>]
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
    /// It undoes what an aborted one did.
    var isTakingBack = false
    var hasBegun = false
    var waiters: [Waiter] = []
    /// Still to be done, the next one last.
    var remaining: [Place] = []
    /// Where a process is being exchanged.
    var active: Place?
    var steps: [Step] = []
    /// Paths of the keys whose values have changed.
    var applied: [String] = []
    /// Paths of the keys that stand otherwise in the configuration, and need a restart of the supervisor.
    var restartRequired: [String] = []
    /// Set once a new configuration was taken.
    var previous: Previous?
    /// The pools whose workers the new configuration starts in another way.
    var poolsToExchange: [Int] = []

    /// Whether all workers are exchanged.
    var isOfAll: Bool {
        switch self.kind {
        case .reload, .restart(nil): true
        case .restart, .update: false
        }
    }

    /// Whether one that waits does for all who ask for the same: updates say what they changed to each caller.
    var isShared: Bool {
        if case .update = self.kind { return false }
        return true
    }

    /// What the caller of a configuration's method is told.
    var changes: JSONValue {
        [
            "applied": .array(self.applied.map { .string($0) }),
            "restart_required": .array(self.restartRequired.map { .string($0) }),
        ]
    }

    /// Whether it has nothing to do with workers.
    var exchangesNothing: Bool {
        if case .update = self.kind { return self.poolsToExchange.isEmpty }
        return false
    }

    var name: String {
        switch self.kind {
        case .restart: "restart"
        case .reload: "reload"
        case .update: "update"
        }
    }
}
