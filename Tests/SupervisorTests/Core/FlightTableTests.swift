import Protocol
import Testing

@testable import Supervisor

/// Flights in the request table, against what one would write down.
@Suite struct FlightTableTests {
    private struct Entry {
        var key: [UInt8]
        var call: RequestToken
        var waiters: [RequestToken] = []
        var isOpen = true
    }

    private static func fill(_ request: inout Request, connection: Int?, priority: RequestMetadata.Priority) {
        request.pool = 0
        request.priority = priority
        if let connection {
            request.origin = .client(ConnectionToken(index: UInt32(connection), generation: 1), batch: nil)
        }
    }

    @Test(arguments: UInt64(1)...3)
    func agreesWithANaiveModel(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = RequestTable(pools: 1)
        var model: [FlightToken: Entry] = [:]
        for step in 0..<8000 {
            let key = Array("key \(Int.random(in: 0..<4, using: &random))".utf8)
            let flight = table.flights.tokens.randomElement(using: &random)
            switch (Int.random(in: 0..<8, using: &random), flight) {
            case (0, _) where model.count < 12, (_, nil):
                let call = key.withUnsafeBytes {
                    table.beginFlight($0, pool: 0, generation: 1, turn: nil, isRefresh: false) {
                        Self.fill(&$0, connection: nil, priority: .low)
                    }
                }
                for older in model.keys where model[older]?.key == key { model[older]?.isOpen = false }
                if let new = table[call].flight { model[new] = Entry(key: key, call: call) }
                if Bool.random(using: &random) { table.enqueue(call) }
            case (1...4, let flight?):
                let priority = RequestMetadata.Priority.allCases.randomElement(using: &random) ?? .low
                let waiter = table.insert {
                    Self.fill(&$0, connection: Int.random(in: 0..<3, using: &random), priority: priority)
                }
                table.wait(waiter, for: flight, .coalesced, acceptsStale: true)
                model[flight]?.waiters.append(waiter)
            case (5, let flight?):
                guard let waiter = model[flight]?.waiters.randomElement(using: &random) else { continue }
                table.remove(waiter)
                model[flight]?.waiters.removeAll { $0 == waiter }
            case (6, let flight?):
                table.closeFlight(flight)
                model[flight]?.isOpen = false
            case (_, let flight?):
                guard let entry = model.removeValue(forKey: flight) else { continue }
                for waiter in entry.waiters { table.remove(waiter) }
                table.endFlight(flight)
                table.remove(entry.call)
            }
            Self.compare(table, model, key)
            if step % 50 == 0 { table._checkInvariants() }
        }
    }

    private static func compare(
        _ table: borrowing RequestTable, _ model: [FlightToken: Entry], _ key: [UInt8]
    ) {
        #expect(table.count == model.values.reduce(0) { $0 + 1 + $1.waiters.count })
        let found = key.withUnsafeBytes { table.flights.find($0) }
        #expect(found == model.first { $0.value.isOpen && $0.value.key == key }?.key)
        for (flight, entry) in model {
            #expect(table.waiters(for: flight) == entry.waiters)
            #expect(table.firstWaiter(for: flight) == entry.waiters.first)
        }
        let open = (0..<3).reduce(0) {
            $0 + table.open(of: ConnectionToken(index: UInt32($1), generation: 1))
        }
        #expect(open == model.values.reduce(0) { $0 + $1.waiters.count })
    }
}
