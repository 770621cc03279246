/// What a worker's process died of, as status and the log name it. An end that the supervisor arranged for
/// reasons of its own (a stop, a restart) is no death.
enum DeathCause: String, CaseIterable, Sendable {
    /// It ended itself, with whatever code, while it was ready.
    case exitCode = "exit_code"
    /// A signal that was not the supervisor's ended it while it was ready.
    case signal
    /// It overran, or did not answer its health checks.
    case timeout
    /// It was killed for the memory it held.
    case oom
    /// It flooded its stdout.
    case noise
    /// It could not be started, or was not ready when it died or `start_timeout` was over.
    case boot

    /// - Parameters:
    ///   - departure: why it had been told to go, if it had.
    ///   - wasReady: whether it had ever been ready.
    ///   - status: nil when there never was a process.
    init?(departure: DepartureReason?, wasReady: Bool, status: ExitStatus?) {
        switch departure {
        case .shutdown, .restarted, .scaledDown, .maxRequests, .maxAge, .maxRSS: return nil
        case .memory: self = .oom
        case .startTimeout: self = .boot
        case .overrun, .unhealthy: self = .timeout
        case .stdoutNoise: self = .noise
        case .stdoutClosed, .stdinClosed, .crashed, .exited, nil:
            guard wasReady, let status else {
                self = .boot
                return
            }
            switch status {
            case .exited: self = .exitCode
            case .signaled: self = .signal
            }
        }
    }
}

/// How often the processes of a slot died, by cause, since the supervisor started.
struct DeathTally: Equatable, Sendable {
    private var counts: [DeathCause: UInt64] = [:]

    mutating func note(_ cause: DeathCause) { self.counts[cause, default: 0] += 1 }

    subscript(_ cause: DeathCause) -> UInt64 { self.counts[cause] ?? 0 }
}
