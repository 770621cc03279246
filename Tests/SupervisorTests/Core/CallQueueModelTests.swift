import Protocol
import Testing

@testable import Supervisor

/// The queue under hundreds of thousands of random operations: against a naive model, and against the bound that
/// it promises.
@Suite struct CallQueueModelTests {
    typealias Priority = RequestMetadata.Priority

    /// The rules of `CallQueue`, with arrays that are searched.
    private struct NaiveQueue {
        struct Line {
            var connection: Int
            var waitsSince: Instant
            var calls: [(token: RequestToken, arrivedAt: Instant)]
        }

        var retried: [[(token: RequestToken, arrivedAt: Instant, lostBy: WorkerToken)]] = [[], [], []]
        /// In the order of their turns.
        var lines: [[Line]] = [[], [], []]
        private var sentSinceAged = 3
        private var lastAged = 0

        var tokens: [RequestToken] {
            (0..<3).flatMap { level in
                self.retried[level].map(\.token) + self.lines[level].flatMap { $0.calls.map(\.token) }
            }
        }

        mutating func append(_ token: RequestToken, _ level: Int, _ connection: Int, _ now: Instant) {
            if let line = self.lines[level].firstIndex(where: { $0.connection == connection }) {
                self.lines[level][line].calls.append((token, now))
            } else {
                self.lines[level].append(
                    Line(connection: connection, waitsSince: now, calls: [(token, now)]))
            }
        }

        mutating func remove(_ token: RequestToken) {
            for level in 0..<3 {
                self.retried[level].removeAll { $0.token == token }
                for line in self.lines[level].indices {
                    self.lines[level][line].calls.removeAll { $0.token == token }
                }
                self.lines[level].removeAll { $0.calls.isEmpty }
            }
        }

        mutating func take(_ token: RequestToken, _ level: Int) {
            if (0..<level).contains(where: { !self.retried[$0].isEmpty || !self.lines[$0].isEmpty }) {
                self.sentSinceAged = 0
                self.lastAged = level
            } else {
                self.sentSinceAged += 1
            }
            let connection = self.lines[level].first { $0.calls.contains { $0.token == token } }?.connection
            self.remove(token)
            guard let index = self.lines[level].firstIndex(where: { $0.connection == connection }) else {
                return
            }
            var line = self.lines[level].remove(at: index)
            line.waitsSince = line.calls[0].arrivedAt
            self.lines[level].append(line)
        }

        func next(at now: Instant, unsuitable: WorkerToken?) -> RequestToken? {
            var heads: [(level: Int, token: RequestToken, waitsSince: Instant)] = []
            for level in 0..<3 {
                let retried = self.retried[level].first { $0.lostBy != unsuitable }
                let line = self.lines[level].first
                guard let token = retried?.token ?? line?.calls[0].token else { continue }
                let since = [retried?.arrivedAt, line?.waitsSince].compactMap(\.self).min() ?? now
                heads.append((level, token, since))
            }
            let due = heads.dropFirst().filter { now.duration(since: $0.waitsSince) >= .seconds(1) }
            if self.sentSinceAged >= 3, let aged = due.first {
                return aged.level == self.lastAged ? due.last?.token : aged.token
            }
            return heads.first?.token
        }
    }

    @Test(arguments: UInt64(1)...4)
    func agreesWithANaiveModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var waiting = CallQueueTests.Waiting()
        var model = NaiveQueue()
        var levels: [RequestToken: Int] = [:]
        for step in 0..<30_000 {
            waiting.now = waiting.now.advanced(by: .milliseconds(Int64.random(in: 0..<100, using: &random)))
            let worker = CallQueueTests.worker(Int.random(in: 0..<3, using: &random))
            let unsuitable = Bool.random(using: &random) ? worker : nil
            let next = waiting.table.next(in: 0, at: waiting.now, unsuitable: unsuitable)
            #expect(next == model.next(at: waiting.now, unsuitable: unsuitable))
            // Times of more arrivals take turns with times of more departures.
            switch Int.random(in: 0..<(step / 300 % 2 == 0 ? 8 : 14), using: &random) {
            case 0...3:
                let level = Int.random(in: 0..<3, using: &random)
                let connection = Int.random(in: 0..<6, using: &random)
                let token = waiting.arrive(connection, Priority.allCases[level])
                model.append(token, level, connection, waiting.now)
                levels[token] = level
            case 4:
                guard let token = model.tokens.randomElement(using: &random) else { continue }
                waiting.table.remove(token)
                model.remove(token)
            case 5:
                guard let token = next, let level = levels[token] else { continue }
                let arrivedAt = waiting.table[token].arrivedAt
                waiting.lose(token, worker)
                model.take(token, level)
                model.retried[level].insert((token, arrivedAt, worker), at: 0)
            default:
                guard let token = waiting.sendNext(unsuitable: unsuitable), let level = levels[token] else {
                    continue
                }
                model.take(token, level)
            }
            #expect(waiting.table.queued(in: 0) == model.tokens.count)
            if step % 100 == 0 {
                waiting.table._checkInvariants()
                #expect(waiting.table.requests(queuedIn: 0) == model.tokens)
            }
        }
    }

    /// What `CallQueue` says about how long a call can be passed over, whatever else arrives and leaves.
    @Test(arguments: UInt64(1)...4)
    func sendsEveryCallWithinTheBoundItPromises(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var waiting = CallQueueTests.Waiting()
        /// The waiting calls, and for those that are the first of their connections until when they must be sent.
        var bounds: [RequestToken: Bound] = [:]
        var order: [[[RequestToken]]] = Array(repeating: Array(repeating: [], count: 8), count: 3)
        var sent = 0
        for _ in 0..<10_000 {
            waiting.now = waiting.now.advanced(by: .milliseconds(Int64.random(in: 0..<200, using: &random)))
            for level in [0, 0, 1, 2] {
                let connection = Int.random(in: 0..<8, using: &random)
                if order[level].joined().count < 40, Int.random(in: 0...level, using: &random) == 0 {
                    order[level][connection].append(waiting.arrive(connection, Priority.allCases[level]))
                }
                if Int.random(in: 0..<8, using: &random) == 0,
                    let token = order[level][connection].randomElement(using: &random)
                {
                    order[level][connection].removeAll { $0 == token }
                    waiting.table.remove(token)
                }
            }
            if let token = waiting.sendNext() {
                sent += 1
                for level in 0..<3 {
                    for line in 0..<8 where order[level][line].first == token {
                        order[level][line].removeFirst()
                    }
                }
            }
            Self.check(order, &bounds, sent: sent, at: waiting.now)
        }
    }

    private struct Bound {
        var dueAt: Instant
        var ahead: Int
        /// Calls sent by the time it was due.
        var sentBefore: Int?
    }

    private static func check(
        _ order: [[[RequestToken]]], _ bounds: inout [RequestToken: Bound], sent: Int, at now: Instant
    ) {
        var open: [RequestToken: Bound] = [:]
        for level in order {
            let ahead = level.count { !$0.isEmpty } - 1
            for token in level.compactMap(\.first) {
                var bound = bounds[token] ?? Bound(dueAt: now.advanced(by: CallQueue.patience), ahead: ahead)
                if bound.dueAt <= now, bound.sentBefore == nil { bound.sentBefore = sent }
                if let before = bound.sentBefore { #expect(sent - before < 8 * (bound.ahead + 1)) }
                open[token] = bound
            }
        }
        bounds = open
    }
}
