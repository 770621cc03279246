/// What the limits of the system hold, and what a configuration needs of it.
///
/// Descriptors: four for each worker (three pipes and a pidfd), 16 for the supervisor, two more for a control socket
/// and its lock, one for each connection, and four for each pool, which has one process too many while it exchanges its
/// workers. Processes: one for each
/// worker, one for each pool's `prepare`, the supervisor and its guardian.
///
/// Example: with 64 descriptors and a pool of two workers, 64 − 16 − 2 × 4 − 4 = 36 connections are allowed.
struct SystemBudget {
    /// RLIMIT_NOFILE.
    var descriptors: UInt64
    /// RLIMIT_NPROC: threads that the user may have in all; nil where it does not bind.
    var processes: UInt64?
    /// Threads that the user's other processes have already.
    var otherThreads = 0

    /// A configuration that cannot run here.
    struct Shortage: Error, Equatable, CustomStringConvertible {
        var description: String
    }

    /// Of the supervisor itself: standard ones, epoll, signals, guardian, listener, lock, log, the gzip of an old log,
    /// and a spawn under way.
    private static func ownDescriptors(_ configuration: Configuration) -> Int {
        configuration.controlSocket == nil ? 16 : 18
    }
    private static let descriptorsPerWorker = 4
    /// The supervisor and its guardian. (gzip is only there where there is room.)
    private static let ownProcesses = 2

    /// Refuses what cannot hold the workers, and allows fewer connections where they would take the workers' room.
    ///
    /// - Returns: what an operator should know of it.
    func fit(_ configuration: inout Configuration) throws(Shortage) -> [LogRecord] {
        [try self.fitConnections(&configuration), try self.judgeProcesses(configuration)].compactMap(\.self)
    }

    /// How many workers there may be, with as many connections as the configuration allows.
    func workerLimit(_ configuration: Configuration) -> Int {
        let spare = configuration.pools.count * Self.descriptorsPerWorker
        let left =
            Int(clamping: self.descriptors) - Self.ownDescriptors(configuration) - spare
            - configuration.limits.connections
        let processes =
            self.processes.map { Int(clamping: $0) - Self.ownProcesses - configuration.prepareCount } ?? .max
        // What was found to fit may run, though a spare descriptor is missing.
        return max(min(left / Self.descriptorsPerWorker, processes), configuration.workerCount)
    }

    private func fitConnections(_ configuration: inout Configuration) throws(Shortage) -> LogRecord? {
        let workers = configuration.workerCount
        let own = Self.ownDescriptors(configuration)
        let needed = workers * Self.descriptorsPerWorker + own
        let left = Int(clamping: self.descriptors) - needed
        guard left > 0 else {
            throw Shortage(
                description: "\(workers) workers need \(needed) descriptors "
                    + "(\(Self.descriptorsPerWorker) each, and \(own)) and a connection one more, "
                    + "and the limit is \(self.descriptors): raise it (ulimit -n), or lower max_workers")
        }
        let room = max(1, left - configuration.pools.count * Self.descriptorsPerWorker)
        let wanted = configuration.limits.connections
        guard room < wanted else { return nil }
        configuration.limits.connections = room
        return LogRecord(
            level: .warning, event: "limits.connections_lowered",
            fields: [
                ("from", .integer(wanted)), ("to", .integer(room)),
                ("descriptors", .integer(self.descriptors)), ("for_workers", .integer(needed)),
            ])
    }

    private func judgeProcesses(_ configuration: Configuration) throws(Shortage) -> LogRecord? {
        guard let limit = self.processes else { return nil }
        let (workers, prepares) = (configuration.workerCount, configuration.prepareCount)
        let needed = workers + prepares + Self.ownProcesses
        guard needed <= limit else {
            let counted = prepares == 0 ? "\(workers) workers" : "\(workers) workers, \(prepares) to prepare"
            throw Shortage(
                description: "\(counted), the supervisor and its guardian are \(needed) processes, "
                    + "and the limit on this user's processes and threads is \(limit): "
                    + "raise it (ulimit -u), or lower max_workers")
        }
        guard UInt64(needed + self.otherThreads) > limit else { return nil }
        return LogRecord(
            level: .warning, event: "limits.processes_low",
            fields: [
                ("limit", .integer(limit)), ("needed", .integer(needed)),
                ("others_of_this_user", .integer(self.otherThreads)),
            ])
    }
}

extension Configuration {
    /// Workers that there may be at once.
    fileprivate var workerCount: Int { self.pools.reduce(0) { $0 + $1.maxWorkers } }
    /// Pools that run a program before their workers.
    fileprivate var prepareCount: Int { self.pools.count { !$0.prepare.isEmpty } }
}
