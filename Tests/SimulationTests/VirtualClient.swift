import Protocol

@testable import Supervisor

/// A client of the virtual world: remembers what it asked, and judges every answer (P1, P2).
struct VirtualClient {
    struct Call {
        var nonce: Int64
        var sentAt: Instant
        /// By when it must be answered.
        var due: Instant
    }

    let token: ConnectionToken
    var open: [Int64: Call] = [:]
    var answered = 0
    var isGone = false
    var hasHalfClosed = false
    private var nextID: Int64 = 0

    init(_ token: ConnectionToken) { self.token = token }

    /// One call's message; remembered as open.
    mutating func makeCall(
        now: Instant, timeouts: Configuration.Timeouts, _ random: inout SeededGenerator
    ) -> JSONValue {
        self.nextID += 1
        let nonce = Int64.random(in: 0...1 << 40, using: &random)
        let methods = [
            "rag.execute", "job.run", "rag.execute", "embedding.create", "ping", "no.pool", "config.x",
        ]
        let method = methods.randomElement(using: &random) ?? "ping"
        var timeout = timeouts.standard
        var metadata: [JSONValue.Member] = []
        if Bool.random(using: &random) {
            let asked = Int64.random(in: 1...3000, using: &random)
            metadata.append(.init("timeout_ms", .integer(asked)))
            timeout = min(.milliseconds(asked), timeouts.max)
        }
        self.open[self.nextID] = Call(nonce: nonce, sentAt: now, due: now.advanced(by: timeout))
        return [
            "jsonrpc": "2.0", "id": .integer(self.nextID), "method": .string(method),
            "params": ["nonce": .integer(nonce)], "metadata": .object(metadata),
        ]
    }

    /// The last calls go out as one batch: its array comes when the last of them is answered.
    mutating func noteBatch(ofLast count: Int) {
        let ids = (self.nextID - Int64(count) + 1)...self.nextID
        let due = ids.compactMap { self.open[$0]?.due }.max() ?? .distantFuture
        for id in ids { self.open[id]?.due = due }
    }

    /// Judges what came from the supervisor.
    ///
    /// - Returns: what is wrong with it; nil when nothing is.
    mutating func receive(_ bytes: [UInt8], now: Instant) -> String? {
        guard !self.isGone else { return nil }
        guard let message = try? JSONValue(parsing: bytes) else { return "an answer that is no JSON" }
        guard case .array(let elements) = message else { return self.judge(message, now: now) }
        for element in elements {
            if let violation = self.judge(element, now: now) { return violation }
        }
        return elements.isEmpty ? "an empty array" : nil
    }

    private mutating func judge(_ message: JSONValue, now: Instant) -> String? {
        guard let id = message["id"]?.integerValue else {
            return message["error"] != nil ? nil : "an answer without an id: \(message.text)"
        }
        guard let call = self.open.removeValue(forKey: id) else {
            return "P1: a second or foreign answer to \(id)"
        }
        self.answered += 1
        if message["metadata"]?["request_id"]?.stringValue == nil {
            return "an answer without the metadata that were asked for: \(message.text)"
        }
        if now > call.due { return "P1: answered \(now.duration(since: call.due)) ns after its deadline" }
        if let nonce = message["result"]?["nonce"], nonce != .integer(call.nonce) {
            return "P2: \(id) got the result of another call: \(message.text)"
        }
        return nil
    }
}
