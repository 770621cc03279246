import Protocol

/// How many workers a pool has: between its least and its most, by what there is to do.
extension SupervisorCore {
    /// At the end of each tick: a pool that is saturated, or has a worker to spare, gets a timer; one that is not
    /// any more loses it. So a timer that fires says that it has been so all the time.
    mutating func watchSizes() {
        for pool in self.pools.indices where self.pools[pool].isElastic {
            self.watch(.scaleUp, pool, self.isSaturated(pool), self.configuration.scaling.upAfter)
            self.watch(
                .scaleDown, pool, self.spareSlot(pool) != nil, self.configuration.scaling.downAfter)
        }
    }

    private mutating func watch(_ timer: Timer, _ pool: Int, _ condition: Bool, _ delay: Nanoseconds) {
        let isSet = self.timers.isSet(self.key(timer, pool))
        if condition, !isSet { self.setTimer(timer, pool, after: delay) }
        if !condition, isSet { self.removeTimer(timer, pool) }
    }

    /// Calls wait, every worker that is ready has all its slots taken, none is on its way, and there may be more.
    private func isSaturated(_ pool: Int) -> Bool {
        guard self.requests.queued(in: pool) > 0, self.pools[pool].size < self.pools[pool].maxWorkers else {
            return false
        }
        var hasReadyWorker = false
        for slot in self.pools[pool].slots {
            guard let worker = slot.process else { continue }
            if self.workers[worker].life.state == .starting { return false }
            guard self.isInBalancing(worker) else { continue }
            hasReadyWorker = true
            if self.requests.inFlight(on: worker) < self.workers[worker].maxConcurrency { return false }
        }
        return hasReadyWorker
    }

    /// A slot that could go: one that is not in service, else that of an idle worker if enough others serve; never
    /// that of a busy worker. The last one, so that numbers stay small.
    private func spareSlot(_ pool: Int) -> Int? {
        guard self.pools[pool].size > self.pools[pool].minWorkers, self.pools[pool].exchange == nil else {
            return nil
        }
        let slots = self.pools[pool].slots
        if let down = slots.lastIndex(where: { $0.isDown }) { return down }
        let serving = slots.count { $0.process.map { self.isInBalancing($0) } ?? false }
        return slots.lastIndex { slot in
            guard let worker = slot.process, self.workers[worker].life.isReady else { return false }
            return (self.requests.inFlight(on: worker) == 0 || !self.holds(.neverBusy))
                && (serving > self.pools[pool].minWorkers || !self.isInBalancing(worker))
        }
    }

    mutating func scaleUpFired(_ pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.phase == .running, self.isSaturated(pool), self.holds(.growWhenFull) else { return }
        let size = self.pools[pool].size
        self.grow(pool, &effects)
        self.logScaled(pool, from: size, "saturated", &effects)
    }

    mutating func scaleDownFired(_ pool: Int, _ effects: inout some SupervisorEffects) {
        guard self.phase == .running, let slot = self.spareSlot(pool) else { return }
        let size = self.pools[pool].size
        self.shrink(pool, slot, &effects)
        self.logScaled(pool, from: size, "idle", &effects)
    }

    /// One worker more, in the first slot that is free.
    private mutating func grow(_ pool: Int, _ effects: inout some SupervisorEffects) {
        let slot = self.pools[pool].slots.firstIndex { !$0.isWanted }
        if slot == nil { self.pools[pool].slots.append(WorkerSlot()) }
        let index = slot ?? self.pools[pool].slots.count - 1
        self.pools[pool].slots[index].state = .empty
        self.pools[pool].slots[index].policy = RestartPolicy()
        // While the pool is being prepared nothing is started; then everything is.
        if self.pools[pool].preparation == .done { self.startWorker(pool, index, &effects) }
    }

    /// One worker fewer: it finishes its calls and leaves.
    private mutating func shrink(_ pool: Int, _ slot: Int, _ effects: inout some SupervisorEffects) {
        let process = self.pools[pool].slots[slot].process
        self.removeTimer(.slotRestart, self.slotIndex(pool, slot))
        self.pools[pool].slots[slot].state = .unwanted
        if let exchange = self.pools[pool].exchange, exchange.slot == slot, let newcomer = exchange.newcomer {
            self.dismiss(newcomer, &effects)
        }
        if let process { self.dismiss(process, &effects) }
    }

    private mutating func dismiss(_ worker: WorkerToken, _ effects: inout some SupervisorEffects) {
        let isIdle = !self.hasCallers(worker)
        self.perform(self.workers[worker].life.retire(.scaledDown, isIdle: isIdle), worker, &effects)
    }

    /// Brings a pool's size between its least and its most. What must go: first what is not in service, then what
    /// is idle, then what has the fewest calls, and last what an operator has drained.
    mutating func resize(_ pool: Int, _ why: String, _ effects: inout some SupervisorEffects) {
        let size = self.pools[pool].size
        self.healthMayHaveChanged = true
        while self.pools[pool].size < self.pools[pool].minWorkers { self.grow(pool, &effects) }
        while self.pools[pool].size > self.pools[pool].maxWorkers {
            let slots = self.pools[pool].slots.indices.filter { self.pools[pool].slots[$0].isWanted }
            guard let least = slots.reversed().min(by: { self.load(pool, $0) < self.load(pool, $1) }) else {
                break
            }
            self.shrink(pool, least, &effects)
        }
        if self.pools[pool].size != size { self.logScaled(pool, from: size, why, &effects) }
    }

    /// How much would be missed with that slot; least of all one that will not serve soon, most of all a worker
    /// that an operator looks at.
    private func load(_ pool: Int, _ slot: Int) -> Int {
        if self.pools[pool].slots[slot].isQuarantined { return -3 }
        guard let worker = self.pools[pool].slots[slot].process else { return -2 }
        if self.workers[worker].life.isHeld { return .max }
        guard self.workers[worker].takesCalls else { return -1 }
        return self.requests.inFlight(on: worker)
    }

    private func logScaled(
        _ pool: Int, from size: Int, _ reason: String, _ effects: inout some SupervisorEffects
    ) {
        effects.log(
            .info, "pool.scaled",
            [
                "pool": .string(self.pools[pool].configuration.name), "from": .integer(size),
                "to": .integer(self.pools[pool].size), "reason": .string(reason),
            ])
    }
}
