import Protocol

/// The calls and notifications that wait for a worker of one pool, in the order in which they get one.
///
/// 1. **Priorities.** A call of a higher priority goes before all those of lower ones, but for 4.
/// 2. **Turns.** Inside a priority the connections that have calls waiting take turns (round robin; fair queuing
///    as in J. Nagle, RFC 970, 1985), and each connection's calls go in the order of their arrival: one that sent
///    200 calls and one that sent a single call are served one call each.
/// 3. **Retries.** A call that its worker lost goes before the other calls of its priority: it has had its turn.
/// 4. **Ageing.** A lower priority is *due* when the connection whose turn it is there has been passed over for
///    `patience`. After `spacing` calls that were not sent for this rule one is sent for it; where two priorities
///    are due they alternate. The rule is that of Linux's mq-deadline scheduler (block/mq-deadline.c):
///    `prio_aging_expire`, after which a lower priority is served although higher ones wait, and
///    `writes_starved`, the number of requests that may go before.
///
/// So nothing starves, and the calls that aged do not shut out those of higher priorities either: they get a
/// quarter of the workers' slots. How long a call can be passed over: one `patience` after it has become the first
/// of its connection, its own turn and all turns before it are due. Whatever arrives from then on, it is the
/// 4 (k + 1)-th call that is sent at the latest, k being the number of connections whose turns come before its
/// own, or the 8 (k + 1)-th when the other lower priority is due as well. (Retries before it come on top; the
/// retry budget bounds them.)
///
/// Example: two connections send high calls without end, a third sent two low ones at 0 s. The pool sends H H H …
/// until 1 s, then L, H H H, L.
///
/// The links between the calls and the calls themselves belong to the `RequestTable`, the only user. Every
/// operation is O(1), but that `next` steps over the calls that must not go to a certain worker: these are
/// retries, and so at most as many as the retry budget.
struct CallQueue: ~Copyable {
    typealias Links = SlotLinks

    /// How long a turn of a lower priority is passed over before the priority is due.
    static let patience = Nanoseconds.seconds(1)
    /// Calls sent between two that are sent because their priorities are due.
    static let spacing = 3

    /// The next call of a priority.
    private struct Candidate {
        var call: RequestToken
        var level: Int
        var waitsSince: Instant
    }

    /// By priority, the highest first.
    private var levels = DenseTable<CallQueueLevel>()
    private(set) var count = 0
    /// Calls sent since one was sent because its priority was due; no more than `spacing` are counted.
    private var sentSinceAged = Self.spacing
    /// The priority that was the last to be served because it was due.
    private var lastAged = 0

    init() { for _ in RequestMetadata.Priority.allCases { self.levels.append(CallQueueLevel()) } }

    // MARK: In and out

    /// Puts a call behind the others of its connection.
    mutating func append(_ call: RequestToken, _ requests: borrowing SlotMap<Request>, _ links: inout Links) {
        self.count += 1
        self.levels[requests[call].priority.level].append(
            call, flow: Self.flow(of: requests[call].turn), arrivedAt: requests[call].arrivedAt, &links)
    }

    /// Puts a call that its worker lost before the others of its priority.
    mutating func prependRetried(
        _ call: RequestToken, _ requests: borrowing SlotMap<Request>, _ links: inout Links
    ) {
        self.count += 1
        self.levels[requests[call].priority.level].retried.prepend(Int(call.index), &links)
    }

    /// A call leaves without having been sent; its connection keeps its turn.
    mutating func remove(_ call: RequestToken, _ requests: borrowing SlotMap<Request>, _ links: inout Links) {
        self.count -= 1
        let level = requests[call].priority.level
        if requests[call].avoided == nil {
            self.levels[level].remove(call, flow: Self.flow(of: requests[call].turn), &links)
        } else {
            self.levels[level].retried.remove(Int(call.index), &links)
        }
    }

    /// A call leaves for a worker; its connection's next turn comes after those of all others.
    mutating func take(_ call: RequestToken, _ requests: borrowing SlotMap<Request>, _ links: inout Links) {
        let level = requests[call].priority.level
        var isAged = false
        for higher in 0..<level where !self.levels[higher].isEmpty { isAged = true }
        self.sentSinceAged = isAged ? 0 : min(self.sentSinceAged + 1, Self.spacing)
        if isAged { self.lastAged = level }
        self.remove(call, requests, &links)
        if requests[call].avoided == nil {
            self.levels[level].endTurn(of: Self.flow(of: requests[call].turn), requests)
        }
    }

    // MARK: Order

    /// The call to be sent now; nil when none waits.
    ///
    /// - Parameter unsuitable: calls that this worker lost are stepped over.
    func next(
        at now: Instant, unsuitable: WorkerToken?, _ requests: borrowing SlotMap<Request>,
        _ links: borrowing Links
    ) -> RequestToken? {
        guard self.count > 0 else { return nil }
        var first: Candidate?
        var due: Candidate?
        for level in 0..<self.levels.count where !self.levels[level].isEmpty {
            guard let candidate = self.candidate(level, unsuitable, requests, links) else { continue }
            guard first != nil else {
                first = candidate
                if self.sentSinceAged < Self.spacing { break }
                continue
            }
            guard now.duration(since: candidate.waitsSince) >= Self.patience else { continue }
            if due == nil || due?.level == self.lastAged { due = candidate }
        }
        return (due ?? first)?.call
    }

    private func candidate(
        _ level: Int, _ unsuitable: WorkerToken?, _ requests: borrowing SlotMap<Request>,
        _ links: borrowing Links
    ) -> Candidate? {
        let turn = self.levels[level].turn(requests)
        var retried = self.levels[level].retried.first
        while let slot = retried, let call = requests.token(at: slot) {
            retried = SlotList.next(after: slot, links)
            guard requests[call].avoided != unsuitable else { continue }
            let waitsSince = min(requests[call].arrivedAt, turn?.waitsSince ?? .distantFuture)
            return Candidate(call: call, level: level, waitsSince: waitsSince)
        }
        return turn.map { Candidate(call: $0.call, level: level, waitsSince: $0.waitsSince) }
    }

    /// A connection's place among the flows; what belongs to no connection shares one.
    private static func flow(of connection: ConnectionToken?) -> Int {
        connection.map { Int($0.index) + 1 } ?? 0
    }

    /// The slots of all calls: by priority, the retried ones first, then by connection in the order of their turns.
    func slots(_ links: borrowing Links) -> [Int] {
        var slots: [Int] = []
        for level in 0..<self.levels.count { slots += self.levels[level].slots(links) }
        return slots
    }

    func _checkInvariants(_ requests: borrowing SlotMap<Request>, _ links: borrowing Links) {
        precondition(self.slots(links).count == self.count, "\(self.count) counted")
        for level in 0..<self.levels.count {
            self.levels[level]._checkInvariants(links)
            for slot in self.levels[level].slots(links) {
                guard let call = requests.token(at: slot) else { continue }
                precondition(requests[call].priority.level == level, "of another priority")
            }
            for slot in self.levels[level].retried.slots(links) {
                guard let call = requests.token(at: slot) else { continue }
                precondition(requests[call].avoided != nil, "retried, but lost by no worker")
            }
            for (flow, slots) in self.levels[level].waiting(links) {
                for slot in slots {
                    guard let call = requests.token(at: slot) else { continue }
                    precondition(Self.flow(of: requests[call].turn) == flow, "of another connection")
                    precondition(requests[call].avoided == nil, "a retried call among the others")
                }
            }
        }
    }
}

/// The waiting calls of one priority.
struct CallQueueLevel: ~Copyable {
    /// The waiting calls of a connection.
    struct Flow {
        var calls = SlotList()
        /// The arrival of the call that was the first when the connection got in line for its turn. It keeps that
        /// place, and this time, when the call is cancelled or expires.
        var waitsSince = Instant(nanoseconds: 0)
    }

    var retried = SlotList()
    private var flows = DenseTable<Flow>()
    /// The flows that have calls, the next one first.
    private var turns = SlotList()
    private var turnLinks = SlotLinks()

    init() {}

    var isEmpty: Bool { self.retried.isEmpty && self.turns.isEmpty }

    mutating func append(
        _ call: RequestToken, flow: Int, arrivedAt: Instant, _ links: inout CallQueue.Links
    ) {
        self.flows.grow(toHold: flow) { Flow() }
        if self.flows[flow].calls.isEmpty { self.getInLine(flow, since: arrivedAt) }
        self.flows[flow].calls.append(Int(call.index), &links)
    }

    mutating func remove(_ call: RequestToken, flow: Int, _ links: inout CallQueue.Links) {
        self.flows[flow].calls.remove(Int(call.index), &links)
        if self.flows[flow].calls.isEmpty { self.turns.remove(flow, &self.turnLinks) }
    }

    /// A flow had its turn; if it has more calls, it gets in line again.
    mutating func endTurn(of flow: Int, _ requests: borrowing SlotMap<Request>) {
        guard let slot = self.flows[flow].calls.first, let call = requests.token(at: slot) else { return }
        self.turns.remove(flow, &self.turnLinks)
        self.getInLine(flow, since: requests[call].arrivedAt)
    }

    private mutating func getInLine(_ flow: Int, since arrival: Instant) {
        self.flows[flow].waitsSince = arrival
        self.turns.append(flow, &self.turnLinks)
    }

    /// The first call of the flow whose turn it is.
    func turn(_ requests: borrowing SlotMap<Request>) -> (call: RequestToken, waitsSince: Instant)? {
        guard let flow = self.turns.first, let slot = self.flows[flow].calls.first,
            let call = requests.token(at: slot)
        else { return nil }
        return (call, self.flows[flow].waitsSince)
    }

    /// The flows that have calls, in the order of their turns.
    func waiting(_ links: borrowing CallQueue.Links) -> [(flow: Int, calls: [Int])] {
        var waiting: [(flow: Int, calls: [Int])] = []
        for flow in self.turns.slots(self.turnLinks) {
            waiting.append((flow, self.flows[flow].calls.slots(links)))
        }
        return waiting
    }

    func slots(_ links: borrowing CallQueue.Links) -> [Int] {
        self.retried.slots(links) + self.waiting(links).flatMap(\.calls)
    }

    func _checkInvariants(_ links: borrowing CallQueue.Links) {
        self.retried._checkInvariants(links)
        self.turns._checkInvariants(self.turnLinks)
        let inLine = self.turns.slots(self.turnLinks).sorted()
        var waiting: [Int] = []
        for flow in 0..<self.flows.count {
            self.flows[flow].calls._checkInvariants(links)
            if !self.flows[flow].calls.isEmpty { waiting.append(flow) }
        }
        precondition(inLine == waiting, "\(inLine) in line, \(waiting) waiting")
    }
}

extension RequestMetadata.Priority {
    /// 0 for the highest.
    var level: Int {
        switch self {
        case .high: 0
        case .normal: 1
        case .low: 2
        }
    }
}
