import Protocol

@testable import Supervisor

/// A worker process of the virtual world: gets lines, and decides with the world's generator what becomes of
/// them.
struct VirtualWorker {
    /// What it does to one call.
    enum Behaviour: CaseIterable {
        case answer, answerSlowly, error, crash, hang, answerTwice, foreignReply, noiseThenAnswer, unreadable
        case garbageReply, oversizeReply, changeConcurrency, closeStdoutAndDie, closeStdoutAndLive
    }

    /// What comes out of it, and when.
    struct Output {
        var after: Nanoseconds
        var line: [UInt8]
        var isReplyTo: UInt64?
        /// It names a call that never was.
        var isForeign = false
        /// Only its beginning is there.
        var isOversize = false
        /// The calls at once that it declares.
        var concurrency: Int?
    }

    enum Fate { case none, crash(after: Nanoseconds), closeOutput(after: Nanoseconds, dies: Bool) }

    let token: WorkerToken
    /// Calls it got a cancel for: what it still says about them is late.
    var cancelled: Set<UInt64> = []
    /// Calls it has answered.
    var answered: Set<UInt64> = []
    let declaresCancel: Bool
    let concurrency: Int
    /// What the supervisor has heard of that.
    var knownConcurrency = 0
    /// Calls it got and has not answered.
    var open: Set<UInt64> = []
    var hasClosedOutput = false
    let ignoresTerm: Bool
    let ignoresEnd: Bool
    /// Never answers a health check.
    let isStuck: Bool

    init(_ token: WorkerToken, faults: Double, _ random: inout SeededGenerator) {
        self.token = token
        self.declaresCancel = Bool.random(using: &random)
        self.concurrency = Int.random(in: 1...4, using: &random)
        self.ignoresTerm = Double.random(in: 0..<1, using: &random) < faults
        self.ignoresEnd = Double.random(in: 0..<1, using: &random) < faults
        self.isStuck = Double.random(in: 0..<1, using: &random) < faults / 4
    }

    /// One message from the supervisor.
    mutating func receive(
        _ message: JSONValue, faults: Double, _ random: inout SeededGenerator
    ) -> (outputs: [Output], fate: Fate) {
        let method = message["method"]?.stringValue ?? ""
        guard let number = message["id"]?.integerValue.map({ UInt64($0) }) else {
            guard method == "$/cancelRequest", let id = message["params"]?["id"]?.integerValue else {
                return ([], .none)
            }
            return (self.cancel(UInt64(id), &random), .none)
        }
        // A call of a client carries metadata, the supervisor's own question does not.
        if method == "health.check", message["metadata"] == nil {
            return (self.health(number, &random), .none)
        }
        self.answered.remove(number)  // a second attempt, after a reply that could not be read
        let nonce = message["params"]?["nonce"] ?? .null
        var behaviour = Behaviour.answer
        if Double.random(in: 0..<1, using: &random) < faults {
            behaviour = Behaviour.allCases.randomElement(using: &random) ?? .answer
        }
        return self.act(behaviour, number, nonce, &random)
    }

    private func health(_ number: UInt64, _ random: inout SeededGenerator) -> [Output] {
        guard !self.isStuck else { return [] }
        let result: JSONValue = [
            "status": "healthy",
            "capabilities": [
                "max_concurrency": .integer(self.concurrency), "cancel": .bool(self.declaresCancel),
            ],
        ]
        var reply = Self.reply(number, result, after: Self.delay(1...40, &random))
        reply.concurrency = self.concurrency
        return [reply]
    }

    private func cancel(_ number: UInt64, _ random: inout SeededGenerator) -> [Output] {
        guard self.declaresCancel, !self.answered.contains(number), Bool.random(using: &random) else {
            return []
        }
        let error: JSONValue = ["code": -32800, "message": "cancelled"]
        let line: JSONValue = ["jsonrpc": "2.0", "id": .integer(number), "error": error]
        return [Output(after: Self.delay(1...100, &random), line: line.bytes, isReplyTo: number)]
    }

    private func act(
        _ behaviour: Behaviour, _ number: UInt64, _ nonce: JSONValue, _ random: inout SeededGenerator
    ) -> (outputs: [Output], fate: Fate) {
        let result: JSONValue = ["nonce": nonce]
        let soon = Self.delay(1...30, &random)
        let good = Self.reply(number, result, after: soon)
        switch behaviour {
        case .answer: return ([good], .none)
        case .answerSlowly:
            return ([Self.reply(number, result, after: Self.delay(500...9000, &random))], .none)
        case .error:
            let error: JSONValue = ["code": -32603, "message": "no"]
            let line: JSONValue = ["jsonrpc": "2.0", "id": .integer(number), "error": error]
            return ([Output(after: soon, line: line.bytes, isReplyTo: number)], .none)
        case .crash: return ([], .crash(after: soon))
        case .hang: return ([], .none)
        case .answerTwice: return ([good, Self.reply(number, result, after: soon + 1)], .none)
        case .foreignReply:
            var foreign = Self.reply(number &+ (1 << 20), ["nonce": "foreign"], after: soon)
            foreign.isForeign = true
            return ([foreign, good], .none)
        case .noiseThenAnswer:
            return ([Output(after: soon - 1, line: Array("Loading model... 100%".utf8)), good], .none)
        case .unreadable:
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"result\":{\"nonce\":"
            return ([Output(after: soon, line: Array(line.utf8), isReplyTo: number)], .none)
        case .oversizeReply:
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"result\":\"xxxx"
            return (
                [Output(after: soon, line: Array(line.utf8), isReplyTo: number, isOversize: true)], .none
            )
        case .changeConcurrency:
            let concurrency = Int.random(in: 1...4, using: &random)
            let line: JSONValue = [
                "jsonrpc": "2.0", "method": "worker.capabilities",
                "params": ["max_concurrency": .integer(concurrency)],
            ]
            return ([Output(after: soon, line: line.bytes, concurrency: concurrency), good], .none)
        case .closeStdoutAndDie: return ([], .closeOutput(after: soon, dies: true))
        case .closeStdoutAndLive: return ([], .closeOutput(after: soon, dies: false))
        case .garbageReply:
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"result\":1,\"error\":2}"
            return ([Output(after: soon, line: Array(line.utf8), isReplyTo: number)], .none)
        }
    }

    private static func reply(_ number: UInt64, _ result: JSONValue, after: Nanoseconds) -> Output {
        let line: JSONValue = ["jsonrpc": "2.0", "id": .integer(number), "result": result]
        return Output(after: after, line: line.bytes, isReplyTo: number)
    }

    static func delay(_ milliseconds: ClosedRange<Int64>, _ random: inout SeededGenerator) -> Nanoseconds {
        .milliseconds(Int64.random(in: milliseconds, using: &random))
    }
}
