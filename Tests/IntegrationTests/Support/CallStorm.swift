import Glibc
import Protocol

@testable import Supervisor

/// Connections that keep calls open, with an account of every call: what was sent, what came back, when.
///
/// One thread does it all, so that a test measures the supervisor and not the tests' own threads. Every call carries
/// a nonce as its id and in its params.
struct CallStorm {
    /// A call to be made.
    struct Plan {
        var method: String
        /// Members of the params besides the nonce, as JSON with a comma in front.
        var params = ""
        var timeoutMilliseconds = 10_000
        /// The result is the params, nonce and all.
        var isEchoed = true
        /// Seconds after which its caller gives it up, by a cancel or by hanging up.
        var cancelledAfter: Double?
        var hangsUpAfter: Double?
        /// It is answered in chunks, and has a final one whatever ends it.
        var isStream = false
    }

    private struct OpenCall {
        var isEchoed: Bool
        var sentAt: Double
        var deadline: Double
        var giveUpAt: Double?
        var hangsUp = false
        var isCancelled = false
        var isStream = false
        var chunks = 0
        var hasFinalChunk = false
    }

    private struct Caller {
        var client: Client
        var open: [String: OpenCall] = [:]
        var nextNonce = 0
    }

    /// What happened.
    struct Account {
        var sent = 0
        var answered = 0
        var results = 0
        var duplicates = 0
        /// Answers to nobody's call, or with another call's nonce.
        var foreign = 0
        var retried = 0
        /// Calls whose connection the storm itself closed: nobody waits for their answers.
        var abandoned = 0
        /// By the reason, else the code.
        var errors: [String: Int] = [:]
        /// Seconds, of calls that ended with a result.
        var latencies: [Double] = []
        /// Seconds from the deadline to the answer, as the storm saw it; negative when it was in time.
        var latest = -Double.infinity
        /// Seconds that the storm itself did not look for answers, at most: what `latest` may owe to it.
        var longestPause = 0.0
        var chunks = 0
        var finalChunks = 0
        /// Chunks in the wrong place: out of sequence, behind the final one, of another call, or of none (any more).
        var misplacedChunks = 0
        /// Streams that were answered without a final chunk.
        var unfinishedStreams = 0
        var resultsByWorker: [String: Int] = [:]
        var answersByWorker: [String: Int] = [:]

        var unanswered: Int { self.sent - self.answered - self.abandoned }

        var summary: String {
            "\(self.sent) calls, \(self.answered) answers, \(self.abandoned) abandoned, \(self.results) results "
                + "(\(self.retried) after a retry), \(self.duplicates) duplicates, \(self.foreign) foreign, "
                + "p99 \(Figures.milliseconds(self.latencies.percentile(99))), latest answer "
                + "\(Figures.milliseconds(self.latest)) after its deadline "
                + "(the storm's own pause: \(Figures.milliseconds(self.longestPause))), errors \(self.errors)"
        }
    }

    private let supervisor: SupervisorProcess
    private let depth: Int
    private let plan: (inout SeededGenerator) -> Plan
    private var random: SeededGenerator
    private var callers: [Caller] = []
    private let watch = Stopwatch()
    private var lookedAt: Double?
    private(set) var account = Account()

    /// - Parameters:
    ///   - depth: calls that each connection keeps open.
    ///   - plan: what the next call is.
    init(
        _ supervisor: SupervisorProcess, connections: Int, depth: Int = 1, seed: UInt64 = 1,
        plan: @escaping (inout SeededGenerator) -> Plan
    ) throws {
        self.supervisor = supervisor
        self.depth = depth
        self.plan = plan
        self.random = SeededGenerator(seed: seed)
        self.callers = try (0..<connections).map { _ in Caller(client: try supervisor.client()) }
    }

    var openCalls: Int { self.callers.reduce(0) { $0 + $1.open.count } }

    /// Hangs up; what is open is open for ever.
    mutating func close() { self.callers = [] }

    /// Keeps calls open for that long, then waits for the answers of those still open, at most `patience`.
    ///
    /// - Parameters:
    ///   - rate: calls a second in all; nil: as soon as there is room. Whether there is room or not, no connection
    ///     has more than `depth` open.
    ///   - disturbance: is called about every 20 ms with the seconds since the start.
    mutating func run(
        for seconds: Double, rate: Double? = nil, patience: Double = 15,
        disturbance: (Double) throws -> Void = { _ in }
    ) throws {
        try self.send(for: seconds, rate: rate, disturbance: disturbance)
        try self.drain(within: patience)
    }

    /// Keeps calls open for that long, and leaves open those that are.
    mutating func send(
        for seconds: Double, rate: Double? = nil, disturbance: (Double) throws -> Void = { _ in }
    ) throws {
        let start = self.watch.seconds
        var started = 0
        while self.watch.seconds - start < seconds {
            let elapsed = self.watch.seconds - start
            let allowed = rate.map { Int($0 * elapsed) - started } ?? .max
            started += try self.fill(atMost: max(0, allowed))
            try self.collect(wait: rate == nil ? 20 : 2)
            try self.giveUp()
            try disturbance(elapsed)
        }
    }

    /// Makes so many calls, as fast as there is room, and waits for the answers.
    mutating func run(calls: Int, patience: Double = 15, disturbance: (Double) throws -> Void) throws {
        let start = self.watch.seconds
        while self.account.sent < calls {
            _ = try self.fill(atMost: calls - self.account.sent)
            try self.collect(wait: 2)
            try self.giveUp()
            try disturbance(self.watch.seconds - start)
        }
        try self.drain(within: patience)
    }

    /// Takes in what has come, and waits for nothing.
    mutating func pump() throws {
        try self.collect(wait: 0)
        try self.giveUp()
    }

    /// Waits for the answers of all calls that are open.
    mutating func drain(within patience: Double) throws {
        let end = self.watch.seconds
        while self.openCalls > 0, self.watch.seconds - end < patience {
            try self.collect(wait: 20)
            try self.giveUp()
        }
        // Nothing comes twice, also not late.
        self.lookedAt = nil  // no pause of the storm's: it waits for nothing any more
        usleep(50_000)
        try self.collect(wait: 0)
    }

    /// Opens calls where there is room.
    private mutating func fill(atMost limit: Int) throws -> Int {
        var count = 0
        for round in 0..<self.depth where count < limit {
            for index in self.callers.indices where count < limit && self.callers[index].open.count <= round {
                try self.start(on: index)
                count += 1
            }
        }
        return count
    }

    private mutating func start(on index: Int) throws {
        let plan = self.plan(&self.random)
        let nonce = "\(index)-\(self.callers[index].nextNonce)"
        self.callers[index].nextNonce += 1
        let now = self.watch.seconds
        let giveUp = [plan.cancelledAfter, plan.hangsUpAfter].compactMap { $0 }.min()
        self.callers[index].open[nonce] = OpenCall(
            isEchoed: plan.isEchoed, sentAt: now, deadline: now + Double(plan.timeoutMilliseconds) / 1000,
            giveUpAt: giveUp.map { now + $0 }, hangsUp: plan.hangsUpAfter != nil, isStream: plan.isStream)
        self.account.sent += 1
        try self.callers[index].client.send(
            #"{"jsonrpc":"2.0","id":"\#(nonce)","method":"\#(plan.method)","params":{"nonce":"\#(nonce)"\#(plan.params)},"#
                + #""metadata":{"timeout_ms":\#(plan.timeoutMilliseconds)}}"#)
    }

    /// Cancels, or hangs up on, what has been open for as long as was planned.
    private mutating func giveUp() throws {
        let now = self.watch.seconds
        for index in self.callers.indices {
            for (nonce, call) in self.callers[index].open {
                guard let time = call.giveUpAt, time <= now, !call.isCancelled else { continue }
                guard !call.hangsUp else {
                    try self.hangUp(index)
                    break
                }
                self.callers[index].open[nonce]?.isCancelled = true
                try self.callers[index].client.send(
                    #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"\#(nonce)"}}"#)
            }
        }
    }

    private mutating func hangUp(_ index: Int) throws {
        self.account.abandoned += self.callers[index].open.count
        self.callers[index].open = [:]
        self.callers[index].client = try self.supervisor.client()
    }

    // MARK: Answers

    private mutating func collect(wait milliseconds: Int32) throws {
        let now = self.watch.seconds
        self.account.longestPause = max(self.account.longestPause, now - (self.lookedAt ?? now))
        defer { self.lookedAt = self.watch.seconds }
        var polls = self.callers.map { pollfd(fd: $0.client.socket.raw, events: Int16(POLLIN), revents: 0) }
        guard poll(&polls, nfds_t(polls.count), milliseconds) > 0 else { return }
        for index in polls.indices where polls[index].revents != 0 {
            guard try self.callers[index].client.readMore(within: 0) else {
                throw Failure("connection \(index) was closed; \(self.account.summary)")
            }
            while let message = self.callers[index].client.takeMessage() {
                self.take(try JSONValue(parsing: message), index)
            }
        }
    }

    private mutating func take(chunk: JSONValue, _ index: Int) {
        self.account.chunks += 1
        let nonce = chunk["request_id"]?.stringValue ?? ""
        guard let call = self.callers[index].open[nonce], !call.hasFinalChunk,
            chunk["sequence"] == .integer(call.chunks),
            chunk["data"]?["nonce"]?.stringValue == nonce || chunk["data"]?["reason"] != nil
        else { return self.account.misplacedChunks += 1 }
        self.callers[index].open[nonce]?.chunks += 1
        guard chunk["is_final"] == true else { return }
        self.callers[index].open[nonce]?.hasFinalChunk = true
        self.account.finalChunks += 1
    }

    private mutating func take(_ answer: JSONValue, _ index: Int) {
        if let chunk = answer["params"] { return self.take(chunk: chunk, index) }
        guard let nonce = answer["id"]?.stringValue, nonce.hasPrefix("\(index)-") else {
            self.account.foreign += 1
            return
        }
        guard let call = self.callers[index].open.removeValue(forKey: nonce) else {
            self.account.duplicates += 1
            return
        }
        let now = self.watch.seconds
        self.account.answered += 1
        if (call.isStream || call.chunks > 0) && !call.hasFinalChunk { self.account.unfinishedStreams += 1 }
        self.account.latest = max(self.account.latest, now - call.deadline)
        let worker =
            (answer["metadata"]?["worker_id"] ?? answer["error"]?["data"]?["worker_id"])?.stringValue ?? ""
        self.account.answersByWorker[worker, default: 0] += 1
        if let error = answer["error"] {
            let reason = answer.errorReason ?? error["code"]?.text ?? "?"
            self.account.errors[reason, default: 0] += 1
        } else if answer["result"] != nil, !call.isEchoed || answer["result"]?["nonce"]?.stringValue == nonce
        {
            self.account.results += 1
            self.account.latencies.append(now - call.sentAt)
            self.account.resultsByWorker[worker, default: 0] += 1
            if (answer["metadata"]?["attempts"]?.integerValue ?? 1) > 1 { self.account.retried += 1 }
        } else {
            self.account.foreign += 1
        }
    }
}
