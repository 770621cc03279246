import Testing

@testable import Supervisor

@Suite struct SystemBudgetTests {
    private static func configuration(workers: [Int], prepares: Int = 0) -> Configuration {
        var configuration = Configuration()
        configuration.pools = workers.enumerated().map { index, count in
            var pool = Configuration.Pool(name: "p\(index)")
            (pool.minWorkers, pool.maxWorkers) = (1, count)
            if index < prepares { pool.prepare = ["make"] }
            return pool
        }
        return configuration
    }

    private static func fit(
        _ budget: SystemBudget, _ configuration: inout Configuration
    ) -> (events: [String], shortage: String?) {
        do throws(SystemBudget.Shortage) {
            return (try budget.fit(&configuration).map { "\($0.event)" }, nil)
        } catch {
            return ([], error.description)
        }
    }

    @Test func changesNothingWhereThereIsRoom() {
        var configuration = Self.configuration(workers: [4, 2])
        let result = Self.fit(SystemBudget(descriptors: 20_000), &configuration)
        #expect(result.events == [] && result.shortage == nil)
        #expect(configuration == Self.configuration(workers: [4, 2]))
    }

    @Test func countsTheControlSocketAndItsLock() {
        var configuration = Self.configuration(workers: [2])
        configuration.controlSocket = .init(path: "/c")
        _ = Self.fit(SystemBudget(descriptors: 64), &configuration)
        #expect(configuration.limits.connections == 36 - 2)
    }

    @Test(arguments: [
        // All workers (not only the least number), and one more of each pool while it exchanges them.
        ([2], 64, 36), ([2, 2], 64, 64 - 16 - 4 * 4 - 2 * 4), ([4], 1024, 1024 - 16 - 5 * 4),
        // One connection is always allowed.
        ([11], 64, 1), ([2], 25, 1),
    ])
    func allowsAsManyConnectionsAsTheWorkersLeave(workers: [Int], descriptors: Int, connections: Int) {
        var configuration = Self.configuration(workers: workers)
        let budget = SystemBudget(descriptors: UInt64(descriptors))
        #expect(Self.fit(budget, &configuration).events == ["limits.connections_lowered"])
        #expect(configuration.limits.connections == connections)
    }

    @Test func leavesFewerConnectionsThanFitAsTheyAre() {
        var configuration = Self.configuration(workers: [2])
        configuration.limits.connections = 36
        #expect(Self.fit(SystemBudget(descriptors: 64), &configuration).events == [])
        #expect(configuration.limits.connections == 36)
    }

    @Test(arguments: [([12], 64, "64"), ([2], 24, "24"), ([1024, 1024], 8207, "8208")])
    func refusesDescriptorsThatCannotHoldTheWorkers(workers: [Int], descriptors: Int, needed: String) {
        var configuration = Self.configuration(workers: workers)
        let shortage = Self.fit(SystemBudget(descriptors: UInt64(descriptors)), &configuration).shortage
        let count = workers.reduce(0, +)
        #expect(
            shortage == "\(count) workers need \(needed) descriptors (4 each, and 16) "
                + "and a connection one more, and the limit is \(descriptors): "
                + "raise it (ulimit -n), or lower max_workers")
    }

    @Test func refusesProcessesThatCannotHoldTheWorkers() {
        var configuration = Self.configuration(workers: [4, 2], prepares: 1)
        var budget = SystemBudget(descriptors: 20_000, processes: 8)
        #expect(
            Self.fit(budget, &configuration).shortage
                == "6 workers, 1 to prepare, the supervisor and its guardian are 9 processes, "
                + "and the limit on this user's processes and threads is 8: "
                + "raise it (ulimit -u), or lower max_workers")
        budget.processes = 9
        #expect(Self.fit(budget, &configuration).shortage == nil)
        #expect(Self.fit(budget, &configuration).events == [])
    }

    @Test func warnsWhenTheUsersOtherProcessesLeaveTooLittle() {
        var configuration = Self.configuration(workers: [6])
        var budget = SystemBudget(descriptors: 20_000, processes: 20, otherThreads: 12)
        #expect(Self.fit(budget, &configuration).events == [])
        budget.otherThreads = 13
        #expect(Self.fit(budget, &configuration).events == ["limits.processes_low"])
        budget.processes = nil
        #expect(Self.fit(budget, &configuration).events == [], "the limit does not bind")
    }

    @Test func limitsWorkersByWhatRunsOutFirst() {
        var configuration = Self.configuration(workers: [4], prepares: 1)
        configuration.limits.connections = 100
        var budget = SystemBudget(descriptors: 16 + 100 + 4 + 4 * 50)
        #expect(budget.workerLimit(configuration) == 50)
        budget.processes = 23
        #expect(budget.workerLimit(configuration) == 20)
        #expect(SystemBudget(descriptors: 33).workerLimit(configuration) == 4, "what was found to fit")
    }
}
