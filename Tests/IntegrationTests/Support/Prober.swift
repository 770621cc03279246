import Foundation
import Protocol
import Synchronization

@testable import Supervisor

/// One caller on a connection and a thread of its own, that makes one call after another and notes how long each
/// took: what somebody sees who comes while others make trouble.
final class Prober: Sendable {
    struct Sample: Sendable {
        /// Seconds since the prober started.
        var at: Double
        var seconds: Double
        /// nil: a result.
        var code: Int?
    }

    private struct State: Sendable {
        var samples: [Sample] = []
        var failure: String?
        var isStopping = false
        var isDone = false
    }

    private let state = Mutex(State())

    /// - Parameters:
    ///   - calls: method, params and metadata, taken in turn.
    ///   - pause: seconds between an answer and the next call.
    ///   - hasRealTime: its thread goes before all others.
    init(
        _ supervisor: SupervisorProcess, pause: Double = 0.005, hasRealTime: Bool = false,
        _ calls: [(method: String, params: String?, metadata: String?)]
    ) {
        let path = supervisor.socket
        Thread.detachNewThread {
            if hasRealTime { RealTime.grant(to: 0) }
            do {
                try self.run(try Client(path), pause, calls)
            } catch { self.state.withLock { $0.failure = "\(error)" } }
            self.state.withLock { $0.isDone = true }
        }
    }

    private func run(
        _ client: Client, _ pause: Double,
        _ calls: [(method: String, params: String?, metadata: String?)]
    ) throws {
        let watch = Stopwatch()
        var turn = 0
        while !self.state.withLock({ $0.isStopping }) {
            let call = calls[turn % calls.count]
            turn += 1
            let start = watch.seconds
            let answer = try client.call(call.method, call.params, metadata: call.metadata, within: 30)
            let sample = Sample(at: start, seconds: watch.seconds - start, code: answer.errorCode)
            self.state.withLock { $0.samples.append(sample) }
            usleep(UInt32(pause * 1e6))
        }
    }

    /// All that was measured.
    ///
    /// - Throws: when a call was not answered, or with another id.
    func stop() throws -> [Sample] {
        self.state.withLock { $0.isStopping = true }
        try eventually(within: 40, "the prober is done") { self.state.withLock { $0.isDone } }
        if let failure = self.state.withLock({ $0.failure }) { throw Failure(failure) }
        return self.state.withLock { $0.samples }
    }
}

extension [Prober.Sample] {
    func percentile(_ percent: Double) -> Double { self.map(\.seconds).percentile(percent) }
}

/// Real-time scheduling: a process, or the calling thread, that is run before all ordinary ones.
enum RealTime {
    /// - Parameter pid: 0: the calling thread.
    /// - Returns: false when this user may not.
    @discardableResult
    static func grant(to pid: Int32) -> Bool {
        var parameters = sched_param()
        parameters.sched_priority = 1
        return sched_setscheduler(pid, SCHED_FIFO, &parameters) == 0
    }
}
