/// The workers of a pool that are in balancing, and which of them have room for a call.
///
/// It is kept as calls come and go, so that a choice looks at the chosen worker only, and costs the same with two workers
/// and with sixty-four. Who is in balancing changes seldom, and by many causes: after each of them the core makes the
/// roster anew before it asks again. While a worker of the pool is ejected, its time and its probation decide, and the
/// core looks at all workers one by one.
struct Roster: ~Copyable {
    /// A worker that is in balancing.
    struct Seat {
        var worker = WorkerToken(index: 0, generation: 0)
        /// Calls it takes at once; 0: the seat is empty.
        var maxConcurrency = 0
    }

    private var seats = DenseTable<Seat>()
    /// Slots whose workers have room.
    private var open = SlotSet()
    /// How full those are, for the strategy that asks for it.
    private var loads = TournamentTree()
    private var knowsLoads = false
    /// A worker of the pool is out of balancing for a time: the roster is not the whole truth.
    private(set) var hasEjected = false

    init() {}

    /// Workers that have room.
    var openCount: Int { self.open.count }

    // MARK: Made

    mutating func begin(slots: Int, knowsLoads: Bool) {
        self.seats.grow(toHold: slots) { Seat() }
        for slot in 0..<self.seats.count { self.seats[slot] = Seat() }
        self.open.removeAll()
        self.knowsLoads = knowsLoads
        if knowsLoads { self.loads.removeAll(slots: slots) }
        self.hasEjected = false
    }

    mutating func noteEjected() { self.hasEjected = true }

    mutating func seat(_ worker: WorkerToken, in slot: Int, maxConcurrency: Int, inFlight: Int) {
        self.seats[slot] = Seat(worker: worker, maxConcurrency: maxConcurrency)
        self.note(slot, worker, inFlight: inFlight)
    }

    // MARK: Kept

    /// A worker has so many calls now.
    mutating func note(_ slot: Int, _ worker: WorkerToken, inFlight: Int) {
        let slots = self.seats[slot].maxConcurrency
        guard slots > 0, self.seats[slot].worker == worker else { return }
        let isFull = inFlight >= slots
        if isFull { self.open.remove(slot) } else { self.open.insert(slot) }
        guard self.knowsLoads else { return }
        self.loads.set(slot, to: isFull ? .max : Self.load(inFlight, of: slots))
    }

    /// The share of a worker's slots that is taken, as a number: equal shares have equal ones, and a smaller share has a
    /// smaller one, since two different shares of a and b slots differ by at least 1 / (a b), and no worker has 2²⁰.
    private static func load(_ inFlight: Int, of slots: Int) -> UInt64 {
        (UInt64(inFlight) << 40) / UInt64(slots)
    }

    // MARK: Asked

    func worker(in slot: Int) -> WorkerToken { self.seats[slot].worker }

    /// The next one in slot order, as `Balancer.roundRobin` has it.
    func next(turn: Int) -> Int? { self.open.first(from: turn) ?? self.open.first(from: 0) }

    /// The one with the fewest calls in flight per slot, as `Balancer.leastLoad` has it.
    func leastLoaded(turn: Int) -> Int? {
        let least = self.loads.minimum
        guard least < .max else { return nil }
        return self.loads.first(from: turn, atMost: least) ?? self.loads.first(from: 0, atMost: least)
    }

    /// The one that has room, counted in slot order.
    func open(at rank: Int) -> Int? { self.open.element(at: rank) }

    /// Who has a seat, in slot order.
    var seated: [WorkerToken] {
        var workers: [WorkerToken] = []
        for slot in 0..<self.seats.count where self.seats[slot].maxConcurrency > 0 {
            workers.append(self.seats[slot].worker)
        }
        return workers
    }

    /// - Parameter inFlight: of a worker.
    func _checkInvariants(_ inFlight: (WorkerToken) -> Int) {
        var openCount = 0
        for slot in 0..<self.seats.count {
            let seat = self.seats[slot]
            let hasRoom = seat.maxConcurrency > 0 && inFlight(seat.worker) < seat.maxConcurrency
            precondition(self.open.contains(slot) == hasRoom, "slot \(slot) of a roster")
            if hasRoom { openCount += 1 }
        }
        precondition(openCount == self.open.count, "\(openCount) have room, \(self.open.count) counted")
    }
}
