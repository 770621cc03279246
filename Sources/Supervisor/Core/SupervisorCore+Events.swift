import Protocol

/// `events.subscribe`, `events.unsubscribe`, and what subscribers are told.
///
/// What happens is logged; the effects keep what somebody has subscribed to (`EventFeed`), and at the end of the tick
/// it is told. A subscriber that does not read loses events and is told how many; nobody waits for him.
extension SupervisorCore {
    /// Patterns of one connection, and their length.
    static let patternsPerConnection = 64
    static let patternBytes = 128

    mutating func subscribe(
        _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        let connection = incoming.caller.connection
        let isOperator = self.connections[connection].isOperator
        var params = try OperatorParams(incoming.params)
        guard let patterns = try params.strings("topics"), !patterns.isEmpty else {
            throw .invalidParams("topics", "expected an array of topics, such as [\"worker.*\"]")
        }
        try params.finish()
        var subscriber =
            self.subscribers.first { $0.connection == connection }
            ?? EventSubscriber(connection: connection)
        for (index, pattern) in patterns.enumerated() {
            let topics = try Self.topics(pattern, at: index)
            guard isOperator || !topics.allSatisfy(\.isForOperators) || !self.holds(.operatorsOnly) else {
                let what = "the topic \(Excerpt.escaped(pattern))"
                return self.refuseStranger(incoming, asking: what, &effects)
            }
            subscriber.add(pattern)
        }
        guard subscriber.patterns.count <= Self.patternsPerConnection else {
            throw .invalidParams(
                "topics", "expected at most \(Self.patternsPerConnection) patterns on one connection")
        }
        self.subscribers.removeAll { $0.connection == connection }
        self.subscribers.append(subscriber)
        self.watchTopics(&effects)
        self.answer(incoming, patterns: subscriber.patterns, &effects)
    }

    /// Ends subscriptions: to the patterns named, else to all. One that is not in force is none to end.
    mutating func unsubscribe(
        _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        var params = try OperatorParams(incoming.params)
        let patterns = try params.strings("topics")
        try params.finish()
        for (index, pattern) in (patterns ?? []).enumerated() { _ = try Self.topics(pattern, at: index) }
        let connection = incoming.caller.connection
        guard let index = self.subscribers.firstIndex(where: { $0.connection == connection }) else {
            return self.answer(incoming, patterns: [], &effects)
        }
        for pattern in patterns ?? self.subscribers[index].patterns {
            self.subscribers[index].remove(pattern)
        }
        let left = self.subscribers[index].patterns
        if left.isEmpty { self.subscribers.remove(at: index) }
        self.watchTopics(&effects)
        self.answer(incoming, patterns: left, &effects)
    }

    /// The topics of a pattern; there is at least one.
    private static func topics(_ pattern: String, at index: Int) throws(RPCError) -> [EventTopic] {
        let topics = pattern.utf8.count <= self.patternBytes ? EventTopic.matching(pattern) : []
        guard topics.isEmpty else { return topics }
        let nearest = NearestName.find(pattern, in: EventTopic.allCases.map(\.rawValue))
        let hint = nearest.map { "; did you mean \($0)?" } ?? ""
        throw .invalidParams("topics[\(index)]", "no topic matches \(Excerpt.escaped(pattern))\(hint)")
    }

    private mutating func answer(
        _ incoming: IncomingRequest, patterns: [String], _ effects: inout some SupervisorEffects
    ) {
        self.answer(incoming, result: ["topics": .array(patterns.map { .string($0) })], &effects)
    }

    /// A subscription ends with its connection.
    mutating func forgetSubscriber(
        _ connection: ConnectionToken, _ effects: inout some SupervisorEffects
    ) {
        guard self.subscribers.contains(where: { $0.connection == connection }) else { return }
        self.subscribers.removeAll { $0.connection == connection }
        self.watchTopics(&effects)
    }

    private func watchTopics(_ effects: inout some SupervisorEffects) {
        effects.feed.wanted = self.subscribers.reduce(into: []) { $0.formUnion($1.topics) }
    }
}

// MARK: - Telling

extension SupervisorCore {
    /// Tells the subscribers what has happened since the last time.
    mutating func tellEvents(_ effects: inout some SupervisorEffects) {
        guard !self.subscribers.isEmpty else { return }
        let (items, lost) = effects.feed.drain()
        for item in items {
            if let topic = item.topic { self.tell(topic, item.record, &effects) }
            if item.isLogged { self.tell(.log, item.record, &effects) }
        }
        for (topic, count) in lost {
            for index in self.subscribers.indices where self.subscribers[index].topics.contains(topic) {
                self.subscribers[index].dropped += count
            }
        }
        for index in self.subscribers.indices where self.subscribers[index].dropped > 0 {
            self.tellDropped(index, &effects)
        }
    }

    private mutating func tell(
        _ topic: EventTopic, _ record: LogRecord, _ effects: inout some SupervisorEffects
    ) {
        // What operators see, and what others do; made when the first of them is told.
        var forOperators: [UInt8]?
        var forOthers: [UInt8]?
        for index in self.subscribers.indices where self.subscribers[index].topics.contains(topic) {
            let message: [UInt8]
            let isOperator = self.connections[self.subscribers[index].connection].isOperator
            guard isOperator || !topic.isForOperators else { continue }
            if isOperator {
                message = forOperators ?? self.event(topic, Self.data(topic, record, forOperator: true))
                forOperators = message
            } else {
                message = forOthers ?? self.event(topic, Self.data(topic, record, forOperator: false))
                forOthers = message
            }
            self.tell(index, message, &effects)
        }
    }

    private mutating func tell(
        _ index: Int, _ message: [UInt8], _ effects: inout some SupervisorEffects
    ) {
        let connection = self.subscribers[index].connection
        // One that is about to be closed is told nothing more.
        guard !self.connections[connection].isInputEnded else { return }
        if self.subscribers[index].dropped > 0 { self.tellDropped(index, &effects) }
        guard self.subscribers[index].hasRoom(effects.outputBacklog(of: connection)) else {
            self.subscribers[index].dropped += 1
            return
        }
        effects.send(to: connection, message)
    }

    /// Tells a subscriber what he has lost, once there is room again.
    private mutating func tellDropped(_ index: Int, _ effects: inout some SupervisorEffects) {
        let connection = self.subscribers[index].connection
        guard !self.connections[connection].isInputEnded,
            self.subscribers[index].hasRoom(effects.outputBacklog(of: connection))
        else { return }
        let message = self.event(.eventsDropped, ["count": .integer(self.subscribers[index].dropped)])
        self.subscribers[index].dropped = 0
        effects.send(to: connection, message)
    }

    private func event(_ topic: EventTopic, _ data: JSONValue) -> [UInt8] {
        let notification: JSONValue = [
            "jsonrpc": "2.0", "method": "event",
            "params": [
                "topic": .string(topic.rawValue),
                "timestamp": .string(Timestamp.text(millisecondsSince1970: self.wallClock)),
                "data": data,
            ],
        ]
        return notification.bytes
    }

    private static func data(
        _ topic: EventTopic, _ record: LogRecord, forOperator: Bool
    ) -> JSONValue {
        var members: [JSONValue.Member] = []
        if topic == .log {
            members.append(.init("level", .string(record.level.rawValue)))
            members.append(.init("event", .string(record.event.description)))
        }
        for field in record.fields where forOperator || !topic.hides(field.key) {
            members.append(.init(field.key.description, field.value.json))
        }
        return .object(members)
    }
}
