import Protocol

/// What clients can subscribe to (protocol §2).
///
/// The log is the one source: an event of the log that bears a topic's name is that topic's, so that nothing is told
/// to subscribers that is not logged, and nothing of these is logged without being told.
enum EventTopic: String, CaseIterable, Sendable {
    case workerStarted = "worker.started"
    case workerReady = "worker.ready"
    case workerUnhealthy = "worker.unhealthy"
    case workerExited = "worker.exited"
    case workerQuarantined = "worker.quarantined"
    case workerRecycled = "worker.recycled"
    case workerEjected = "worker.ejected"
    case poolScaled = "pool.scaled"
    case poolDegraded = "pool.degraded"
    case poolRecovered = "pool.recovered"
    case cacheCleared = "cache.cleared"
    case configChanged = "config.changed"
    case configRejected = "config.rejected"
    /// Every line of the log.
    case log
    /// How many events a slow subscriber has lost. He is told whatever he has subscribed to.
    case eventsDropped = "events.dropped"

    /// Events of the log that have another name than their topic.
    private static let otherNames: [String: EventTopic] = [
        "worker.replaced": .workerRecycled
    ]

    /// - Parameter event: an event of the log.
    init?(logEvent event: StaticString) {
        let name = event.description
        guard let topic = EventTopic(rawValue: name) ?? Self.otherNames[name] else { return nil }
        self = topic
    }

    /// Whether it is told to operators only.
    var isForOperators: Bool {
        switch self {
        case .log, .configChanged, .configRejected: true
        case .workerStarted, .workerReady, .workerUnhealthy, .workerExited, .workerQuarantined,
            .workerRecycled, .workerEjected, .poolScaled, .poolDegraded, .poolRecovered, .cacheCleared,
            .eventsDropped:
            false
        }
    }

    /// Whether a field of the log's event is left out for others than operators: what workers wrote, and what names
    /// a program that could not be started.
    func hides(_ field: StaticString) -> Bool {
        switch field.description {
        case "stderr_tail": true
        case "how": self == .workerQuarantined
        default: false
        }
    }

    /// What has happened, in a sentence.
    var summary: String {
        switch self {
        case .workerStarted: "a process was started"
        case .workerReady: "it answered its first health check and takes calls"
        case .workerUnhealthy: "it failed a health check"
        case .workerExited: "it is gone: how, why, and how many calls it had"
        case .workerQuarantined: "it failed to start too often, and is tried again later"
        case .workerRecycled: "it leaves its place to another process: why"
        case .workerEjected: "it fails its calls, and gets none for a time"
        case .poolScaled: "the pool has more or fewer workers"
        case .poolDegraded:
            "the pool has fewer workers ready than it should, or one is quarantined or dies again and again"
        case .poolRecovered: "the pool is healthy again"
        case .cacheCleared: "cached responses or embeddings were forgotten"
        case .configChanged: "another configuration is in force"
        case .configRejected: "a configuration was refused, and nothing has changed"
        case .log: "a line of the log"
        case .eventsDropped: "events were lost, because they were not read fast enough: `count`"
        }
    }

    /// The topics that a pattern stands for: a name, or a glob.
    static func matching(_ pattern: String) -> [EventTopic] {
        let glob = Glob(pattern)
        return self.allCases.filter { topic in
            Array(topic.rawValue.utf8).withUnsafeBytes { glob.matches($0) }
        }
    }
}
