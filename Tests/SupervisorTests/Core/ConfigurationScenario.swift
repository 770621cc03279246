import Protocol
import Testing

@testable import Supervisor

/// A scenario whose workers are exchanged, for new processes or for another configuration.
extension Scenario {
    /// With a client, and nothing left of its start.
    static func connected(
        workers: Int = 2, _ configure: (inout Configuration) -> Void = { _ in }
    ) throws -> (Scenario, ConnectionToken) {
        let scenario = Scenario.ready(workers: workers, configure)
        _ = scenario.takeSpawns()
        return (scenario, try scenario.connect())
    }

    /// A partial configuration.
    static func change(_ text: String) throws -> JSONValue { try JSONValue(parsing: text) }

    /// What a worker was told of updates; it has answered nothing yet.
    func updatesTold(to worker: WorkerToken) -> [JSONValue] {
        self.messages(to: worker).filter { $0["method"] == "config.update" }
    }

    /// All workers say that they have taken an update.
    func acknowledgeUpdates() {
        for worker in self.core.workers.tokens {
            guard let message = self.updatesTold(to: worker).last else { continue }
            self.reply(worker, message["id"]?.integerValue, .null)
        }
    }

    func update(_ client: ConnectionToken, _ change: String) throws -> JSONValue {
        self.call(client, 1, "config.update", params: try Self.change(change))
        self.acknowledgeUpdates()
        return try self.answer(client)
    }

    /// Lets the process that a rollout has just started come up, and the one before it go.
    func exchangeWorkers(_ count: Int = 1) throws {
        for _ in 0..<count {
            let spawns = self.takeSpawns()
            try #require(spawns.count == 1)
            self.makeReady(spawns[0].worker)
            let old = try #require(self.effects.closedInputs.last)
            self.exit(old, .exited(code: 0))
        }
    }
}
