import Testing

@testable import Supervisor

@Suite struct RequestTableTests {
    private static func connection(_ index: Int) -> ConnectionToken {
        ConnectionToken(index: UInt32(index), generation: 1)
    }
    private static func worker(_ index: Int) -> WorkerToken {
        WorkerToken(index: UInt32(index), generation: 1)
    }

    private static func fill(_ request: inout Request, pool: Int, connection: Int, params: Int) {
        request.pool = pool
        request.origin = .client(Self.connection(connection), batch: nil)
        let bytes = [UInt8](repeating: 0x31, count: params)
        let empty = UnsafeRawBufferPointer(start: nil, count: 0)
        bytes.withUnsafeBytes {
            request.setBytes(
                id: empty, method: empty, params: $0, requestID: .text(empty), traceparent: empty)
        }
    }

    @Test func knowsACallByItsNumberUntilItIsOver() {
        var table = RequestTable(pools: 1)
        let first = table.insert { Self.fill(&$0, pool: 0, connection: 0, params: 1) }
        let number = RequestTable.number(of: first)
        #expect(table.call(numbered: number) == first)
        table.remove(first)
        let second = table.insert { Self.fill(&$0, pool: 0, connection: 0, params: 1) }
        #expect(second.index == first.index)
        #expect(table.call(numbered: number) == nil)
        #expect(RequestTable.number(of: second) < 1 << 52)
    }

    @Test(arguments: [UInt64(0), 1, .max, 1 << 52, 2 << 20])
    func knowsNoCallByAStrangeNumber(number: UInt64) {
        var table = RequestTable(pools: 1)
        table.remove(table.insert { Self.fill(&$0, pool: 0, connection: 0, params: 1) })
        #expect(table.call(numbered: number) == nil)
    }

    /// Where the model believes a request to be.
    private enum Place: Equatable { case nowhere, queue(Int), worker(Int), abandoned(Int) }

    private struct Entry {
        var place = Place.nowhere
        var pool: Int
        var connection: Int
        var bytes: Int
        var isRetry = false
    }

    @Test(arguments: UInt64(1)...3)
    func agreesWithANaiveModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = RequestTable(pools: 2)
        var model: [RequestToken: Entry] = [:]
        for step in 0..<10_000 {
            let token = table.all.randomElement(using: &random)
            let worker = Int.random(in: 0..<3, using: &random)
            switch (Int.random(in: 0..<7, using: &random), token) {
            case (0...1, _) where model.count < 60, (_, nil):
                let entry = Entry(
                    pool: Int.random(in: 0..<2, using: &random),
                    connection: Int.random(in: 0..<4, using: &random),
                    bytes: Int.random(in: 0..<50, using: &random))
                let new = table.insert {
                    Self.fill(&$0, pool: entry.pool, connection: entry.connection, params: entry.bytes)
                }
                model[new] = entry
            case (2, let token?) where model[token]?.place == .nowhere:
                table.enqueue(token)
                model[token]?.place = .queue(table[token].pool)
            case (3, let token?):
                guard case .queue = model[token]?.place else { continue }
                table.takeFromQueue(token)
                table.assign(token, to: Self.worker(worker), now: Instant(nanoseconds: Int64(step)))
                model[token]?.place = .worker(worker)
            case (4, let token?):
                guard case .worker(let at) = model[token]?.place else { continue }
                table.requeue(token, avoiding: Self.worker(at))
                model[token]?.place = .queue(table[token].pool)
                model[token]?.isRetry = true
            case (5, let token?):
                guard case .worker(let at) = model[token]?.place else { continue }
                table.abandon(token)
                model[token]?.place = .abandoned(at)
                model[token]?.isRetry = false
                model[token]?.bytes = 0
                model[token]?.connection = -1
            case (6, let token?):
                table.remove(token)
                model[token] = nil
            default: continue
            }
            Self.compare(table, model)
            if step % 50 == 0 { Self.compareQueues(table, model) }
        }
    }

    private static func compareQueues(_ table: borrowing RequestTable, _ model: [RequestToken: Entry]) {
        table._checkInvariants()
        for pool in 0..<2 {
            let queued = model.filter { $0.value.place == .queue(pool) }
            #expect(Set(table.requests(queuedIn: pool)) == Set(queued.keys))
        }
    }

    private static func compare(_ table: borrowing RequestTable, _ model: [RequestToken: Entry]) {
        #expect(table.count == model.count)
        #expect(table.heldBytes == model.values.reduce(0) { $0 + $1.bytes })
        #expect(table.retriesOpen == model.values.count { $0.isRetry })
        for pool in 0..<2 {
            let queued = model.values.count { $0.place == .queue(pool) }
            #expect(table.queued(in: pool) == queued)
            let next = table.next(in: pool, at: Instant(nanoseconds: 0), unsuitable: nil)
            #expect(next.map { model[$0]?.place == .queue(pool) } ?? (queued == 0))
        }
        for worker in 0..<3 {
            let expected = model.values.count {
                $0.place == .worker(worker) || $0.place == .abandoned(worker)
            }
            #expect(table.inFlight(on: Self.worker(worker)) == expected)
            let dispatches = table.calls(on: Self.worker(worker)).map { table[$0].dispatchedAt }
            #expect(dispatches == dispatches.sorted())
            #expect(table.oldestDispatch(on: Self.worker(worker)) == dispatches.first)
        }
        for connection in 0..<4 {
            let own = model.values.filter { $0.connection == connection }
            #expect(table.open(of: Self.connection(connection)) == own.count)
            #expect(table.heldBytes(of: Self.connection(connection)) == own.reduce(0) { $0 + $1.bytes })
        }
    }
}
