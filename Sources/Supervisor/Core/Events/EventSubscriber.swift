/// A connection that is told of events.
struct EventSubscriber {
    /// Bytes that may wait for a connection before it loses events. Below this it is read from again when it has
    /// been slow (the low watermark), so that events alone never stop a client's calls.
    static let backlogLimit = 256 << 10
    /// One that has lost events gets some again when no more than this waits.
    static let backlogToResume = 128 << 10

    let connection: ConnectionToken
    /// The patterns in force, as they were given.
    private(set) var patterns: [String] = []
    /// What they stand for; whether its peer may see all of it is decided when it is told.
    private(set) var topics: Set<EventTopic> = []
    /// Events lost since it was last told.
    var dropped = 0

    init(connection: ConnectionToken) { self.connection = connection }

    mutating func add(_ pattern: String) {
        guard !self.patterns.contains(pattern) else { return }
        self.patterns.append(pattern)
        self.settle()
    }

    mutating func remove(_ pattern: String) {
        self.patterns.removeAll { $0 == pattern }
        self.settle()
    }

    private mutating func settle() { self.topics = Set(self.patterns.flatMap(EventTopic.matching)) }

    /// Whether an event may be added to what waits for it.
    func hasRoom(_ backlog: Int) -> Bool {
        backlog <= (self.dropped > 0 ? Self.backlogToResume : Self.backlogLimit)
    }
}
