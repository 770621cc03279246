/// The rosters of the pools: the table knows how many calls a worker has.
extension RequestTable {
    /// What a worker has, and where it sits.
    struct WorkerCalls {
        var list = SlotList()
        /// The seat it was given last; no pool: none.
        var pool = -1
        var slot = 0
        var token = WorkerToken(index: 0, generation: 0)
    }

    /// Makes the roster of a pool anew: nobody sits there.
    mutating func beginRoster(of pool: Int, slots: Int, knowsLoads: Bool) {
        self.rosters[pool].begin(slots: slots, knowsLoads: knowsLoads)
    }

    /// A worker of the pool is out of balancing for a time.
    mutating func noteEjected(in pool: Int) { self.rosters[pool].noteEjected() }

    mutating func seat(_ worker: WorkerToken, in pool: Int, slot: Int, maxConcurrency: Int) {
        let index = Int(worker.index)
        self.workers.grow(toHold: index) { WorkerCalls() }
        self.workers[index].pool = pool
        self.workers[index].slot = slot
        self.workers[index].token = worker
        self.rosters[pool].seat(
            worker, in: slot, maxConcurrency: maxConcurrency, inFlight: self.workers[index].list.count)
    }

    /// The worker in that place has one call more, or fewer.
    mutating func noteLoad(ofWorkerAt index: Int) {
        let pool = self.workers[index].pool
        guard pool >= 0 else { return }
        self.rosters[pool].note(
            self.workers[index].slot, self.workers[index].token, inFlight: self.workers[index].list.count)
    }

    /// Who sits in a pool's roster, in slot order; checks that it agrees with the lists.
    func seated(in pool: Int) -> [WorkerToken] {
        self.rosters[pool]._checkInvariants { self.inFlight(on: $0) }
        return self.rosters[pool].seated
    }
}
