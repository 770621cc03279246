/// What is known of an endpoint from the calls to it, and who may call it while it is silent.
///
/// An endpoint that does not answer would otherwise hold every call that needs it until its timeout, and with them
/// the places of those that do not. So after the first such failure one call at a time tries; the others
/// fail at once with what that one found.
final class EndpointHealth: Sendable {
    /// How long nobody tries after a failure.
    static let pauseMilliseconds = 1_000.0
    /// How often a health check has a failing endpoint tried, at most.
    static let probeMilliseconds = 5_000.0

    private enum State {
        /// Nobody has called it yet.
        case unknown
        case working
        case failing(EmbeddingFailure, since: MonotonicClock)
    }

    private struct Knowledge {
        var state = State.unknown
        /// Whether a call tries a silent endpoint.
        var isTried = false
        /// When a health check had it tried last.
        var probed: MonotonicClock?
    }

    private let url: String
    private let knowledge = Locked(Knowledge())

    init(url: String) { self.url = url }

    /// Asks to call the endpoint; `note` must follow.
    ///
    /// - Throws: what the last call found, while it is silent.
    func admit(now: MonotonicClock = .now) throws(EmbeddingFailure) {
        let failure = self.knowledge.withLock { knowledge -> EmbeddingFailure? in
            guard case .failing(let failure, let since) = knowledge.state, failure.kind == .unreachable else {
                return nil
            }
            if knowledge.isTried || now.milliseconds(since: since) < Self.pauseMilliseconds { return failure }
            knowledge.isTried = true
            return nil
        }
        if let failure { throw failure }
    }

    /// - Parameter failure: nil: it gave what was asked for.
    func note(_ failure: EmbeddingFailure?, now: MonotonicClock = .now) {
        self.knowledge.withLock { knowledge in
            knowledge.isTried = false
            // Who gives up learns nothing of the endpoint.
            if let failure, failure.kind == .cancelled { return }
            knowledge.state = failure.map { .failing($0, since: now) } ?? .working
        }
    }

    /// Why it cannot be used, as far as anybody knows; nil when the last call went well.
    var complaint: String? {
        self.knowledge.withLock { knowledge in
            switch knowledge.state {
            case .unknown: "The embedding endpoint \(self.url) has not answered yet"
            case .working: nil
            case .failing(let failure, _): failure.description
            }
        }
    }

    /// Whether it is time to try the endpoint only to know how it is.
    ///
    /// - Returns: what to do; the caller must do it.
    func claimProbe(now: MonotonicClock) -> Probe {
        self.knowledge.withLock { knowledge in
            if case .working = knowledge.state { return .notNeeded }
            if let probed = knowledge.probed, now.milliseconds(since: probed) < Self.probeMilliseconds {
                return .notNeeded
            }
            defer { knowledge.probed = now }
            return knowledge.probed == nil ? .first : .again
        }
    }

    enum Probe: Equatable {
        /// It works, or was tried a moment ago.
        case notNeeded
        case first
        case again
    }
}
