/// What holds between any two events, for the tests and the simulation.
extension RequestTable {
    /// Checks every list against every request's state. O(requests).
    func _checkInvariants() {
        self.requests._checkInvariants()
        self.deadlines._checkInvariants()
        var placed = 0
        for pool in 0..<self.queues.count {
            self.queues[pool]._checkInvariants(self.requests, self.placeLinks)
            let tokens = self.requests(queuedIn: pool)
            precondition(
                tokens.allSatisfy { self.requests[$0].state == .queued && self.requests[$0].pool == pool })
            placed += tokens.count
        }
        for worker in 0..<self.workers.count {
            self.workers[worker].list._checkInvariants(self.placeLinks)
            let tokens = self.tokens(self.workers[worker].list.slots(self.placeLinks))
            for token in tokens {
                switch self.requests[token].state {
                case .inFlight(let at), .abandoned(let at): precondition(Int(at.index) == worker)
                default: preconditionFailure("\(self.requests[token].state) on a worker")
                }
            }
            placed += tokens.count
        }
        placed += self.checkFlights()
        let living = self.requests.tokens
        let unplaced = living.count { self.requests[$0].state == .none }
        precondition(placed + unplaced == living.count, "\(placed) placed of \(living.count)")
        precondition(self.heldBytes == living.reduce(0) { $0 + self.requests[$1].heldBytes }, "held bytes")
        let retries = living.count { self.requests[$0].avoided != nil }
        precondition(retries == self.retriesOpen, "\(retries) retries, \(self.retriesOpen) counted")
    }

    /// - Returns: how many requests wait for flights.
    private func checkFlights() -> Int {
        self.flights._checkInvariants()
        var waiting = 0
        for flight in self.flights.tokens {
            self.flights[flight].waiters._checkInvariants(self.placeLinks)
            let waiters = self.waiters(for: flight)
            precondition(
                waiters.allSatisfy { self.requests[$0].state == .waiting(flight) }, "waits elsewhere")
            precondition(self.requests[self.flights[flight].call].flight == flight, "a flight without a call")
            waiting += waiters.count
        }
        let calls = self.requests.tokens.count { self.requests[$0].flight != nil }
        precondition(calls == self.flights.count, "\(calls) calls of \(self.flights.count) flights")
        return waiting
    }
}
