import Protocol

/// What would become of a call.
struct CallExplanation {
    enum Outcome: String, CaseIterable {
        /// The supervisor answers the method itself.
        case answeredHere = "answered_here"
        case sent, queued
        /// A cache has the answer.
        case cached
        /// It waits for the answer to an equal call.
        case shared
        case refused
    }

    /// Which worker it would be sent to.
    enum Choice: Equatable {
        case worker(WorkerToken)
        /// The faster of two that are drawn.
        case chance
        case none
    }

    struct Candidate {
        var worker: WorkerToken
        var slot: Int
        /// Why it gets no call; nil: it may.
        var obstacle: SupervisorCore.Obstacle?
        var isOnProbation: Bool
    }

    var outcome = Outcome.answeredHere
    private var error: RPCError?
    private var notes: [JSONValue.Member] = []

    mutating func note(_ name: String, _ value: JSONValue) { self.notes.append(.init(name, value)) }

    mutating func refuse(_ error: RPCError) {
        self.outcome = .refused
        self.error = error
    }

    /// All members are always there.
    var value: JSONValue {
        let names = [
            "pool", "technique", "strategy", "worker_id", "candidates", "queue", "cache", "timeouts",
            "idempotent",
        ]
        let members = names.map { name in
            JSONValue.Member(name, self.notes.first { $0.name == name }?.value ?? .null)
        }
        return .object(
            [
                .init("outcome", .string(self.outcome.rawValue)),
                .init("error", self.error?.value(requestID: nil) ?? .null),
            ] + members)
    }
}
