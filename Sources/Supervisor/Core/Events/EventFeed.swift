import Protocol

/// What was logged in this tick and somebody has subscribed to, on its way from the log to the core, which tells it to
/// the subscribers at the end of the tick.
///
/// While nobody has subscribed it costs one branch for each line of the log.
struct EventFeed {
    /// Records that are kept from one end of a tick to the next: a flood of stderr must not take memory without end.
    static let capacity = 2048

    struct Item {
        /// nil: it is a line of the log only.
        var topic: EventTopic?
        /// Whether the log's level lets it through, so that it is a line of the log as well.
        var isLogged: Bool
        var record: LogRecord
    }

    /// What anybody has subscribed to.
    var wanted: Set<EventTopic> = []
    private var items: [Item] = []
    /// What found no room.
    private var lost: [EventTopic: Int] = [:]

    /// Whether records are to be made even where the log's level is off.
    var isWatched: Bool { !self.wanted.isEmpty }

    /// Takes a record, if somebody wants it.
    mutating func take(_ record: LogRecord, isLogged: Bool) {
        guard self.isWatched else { return }
        let topic = EventTopic(logEvent: record.event).flatMap { self.wanted.contains($0) ? $0 : nil }
        let isLogged = isLogged && self.wanted.contains(.log)
        guard topic != nil || isLogged else { return }
        guard self.items.count < Self.capacity else {
            if let topic { self.lost[topic, default: 0] += 1 }
            if isLogged { self.lost[.log, default: 0] += 1 }
            return
        }
        self.items.append(Item(topic: topic, isLogged: isLogged, record: record))
    }

    /// What came since the last time, and of which topics how much found no room.
    mutating func drain() -> (items: [Item], lost: [EventTopic: Int]) {
        guard !self.items.isEmpty else { return ([], [:]) }
        defer { (self.items, self.lost) = ([], [:]) }
        return (self.items, self.lost)
    }
}
