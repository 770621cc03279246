import Protocol

@testable import Supervisor

/// A worker process of the virtual world: gets messages, and decides with the world's generator what becomes of
/// them.
struct VirtualWorker {
    let token: WorkerToken
    let temper: WorkerTemper
    /// What arrived while it did not read.
    var unread: [JSONValue] = []
    var isReading = true
    var hasClosedInput = false
    var hasClosedOutput = false
    private var healthChecks = 0
    private var questions: Int64 = 0
    /// Calls it knows and has not answered.
    private var open: Set<UInt64> = []

    init(_ token: WorkerToken, _ temper: WorkerTemper) {
        self.token = token
        self.temper = temper
    }

    typealias Reaction = (outputs: [WorkerOutput], act: WorkerAct)

    static func delay(_ milliseconds: ClosedRange<Int64>, _ random: inout SeededGenerator) -> Nanoseconds {
        .milliseconds(Int64.random(in: milliseconds, using: &random))
    }

    /// One message from the supervisor.
    ///
    /// - Parameter other: the number of a call that another worker has.
    mutating func receive(
        _ message: JSONValue, _ weather: Weather, other: UInt64?, _ random: inout SeededGenerator
    ) -> Reaction {
        guard let number = message["id"]?.integerValue.map({ UInt64(truncatingIfNeeded: $0) }) else {
            guard message["method"] == "$/cancelRequest", let id = message["params"]?["id"]?.integerValue
            else { return ([], .none) }
            return (self.cancel(UInt64(truncatingIfNeeded: id), &random), .none)
        }
        guard let method = message["method"] else { return ([], .none) }  // an answer to a question
        // A call of a client carries metadata, the supervisor's own question does not.
        if method == "health.check", message["metadata"] == nil {
            return self.health(number, weather, &random)
        }
        self.open.insert(number)
        if message["params"]?["poison"] == true {
            return ([], .crash(after: Self.delay(1...30, &random)))
        }
        var behaviour = WorkerBehaviour.answer
        if Double.random(in: 0..<1, using: &random) < weather.badCall {
            behaviour = weather.badCalls.randomElement(using: &random) ?? .answer
        }
        let nonce = message["params"]?["nonce"]?.integerValue ?? 0
        let call = Call(
            number: number, nonce: nonce, soon: Self.delay(weather.service, &random), other: other)
        if ![.hang, .crash, .streamThenHang, .streamThenCrash].contains(behaviour) {
            self.open.remove(number)
        }
        return self.act(behaviour, call, &random)
    }

    private mutating func health(
        _ number: UInt64, _ weather: Weather, _ random: inout SeededGenerator
    ) -> Reaction {
        self.healthChecks += 1
        let soon = Self.delay(1...40, &random)
        let well = Self.healthReply(number, "healthy", self.temper.declares, after: soon)
        if self.healthChecks > 1 {
            guard Double.random(in: 0..<1, using: &random) < weather.badHealth else {
                return ([well], .none)
            }
            return (self.badHealth(number, well, &random), .none)
        }
        switch self.temper.start {
        case .answers, .cannotBeStarted: return ([well], .none)
        case .dies: return ([], .crash(after: soon))
        case .diesAfterReady: return ([well], .crash(after: soon + 1))
        case .neverReady: return ([], .none)
        case .unhealthyFirst: return ([Self.healthReply(number, "unhealthy", nil, after: soon)], .none)
        case .knowsNoHealth: return ([Self.noHealthMethod(number, after: soon)], .none)
        case .floods:
            return ((0..<20).map { WorkerOutput(after: soon, "Loading \($0)", .noise) } + [well], .none)
        case .closesOutput: return ([], .closeOutput(after: soon, dies: false))
        case .saysNonsense:
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"result\":\"well\"}"
            return ([WorkerOutput(after: soon, line, .health(number, nil))], .none)
        }
    }

    /// A check that fails, or whose answer comes too late.
    private func badHealth(
        _ number: UInt64, _ well: WorkerOutput, _ random: inout SeededGenerator
    ) -> [WorkerOutput] {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return []
        case 1: return [Self.healthReply(number, "unhealthy", nil, after: well.after)]
        case 2: return [Self.noHealthMethod(number, after: well.after)]
        default:
            var late = well
            late.after = Self.delay(400...900, &random)
            return [late]
        }
    }

    private static func noHealthMethod(_ number: UInt64, after: Nanoseconds) -> WorkerOutput {
        let line = "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"error\":{\"code\":-32601,\"message\":\"what?\"}}"
        return WorkerOutput(after: after, line, .health(number, nil))
    }

    private static func healthReply(
        _ number: UInt64, _ status: String, _ declares: WorkerTemper.Declaration?, after: Nanoseconds
    ) -> WorkerOutput {
        let capabilities =
            declares.map {
                ",\"capabilities\":{\"max_concurrency\":\($0.concurrency),\"cancel\":\($0.honoursCancel)}"
            } ?? ""
        let line =
            "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"result\":{\"status\":\"\(status)\"\(capabilities)}}"
        return WorkerOutput(after: after, line, .health(number, declares))
    }

    private mutating func cancel(_ number: UInt64, _ random: inout SeededGenerator) -> [WorkerOutput] {
        guard self.temper.declares.honoursCancel, !self.temper.ignoresCancel,
            self.open.remove(number) != nil || Bool.random(using: &random)
        else { return [] }
        let line =
            "{\"jsonrpc\":\"2.0\",\"id\":\(number),\"error\":{\"code\":-32800,\"message\":\"cancelled\"}}"
        return [WorkerOutput(after: Self.delay(1...100, &random), line, .reply(number, .error))]
    }
}

// MARK: - Calls

extension VirtualWorker {
    private struct Call {
        var number: UInt64
        var nonce: Int64
        var soon: Nanoseconds
        var other: UInt64?

        func result(after: Nanoseconds? = nil) -> WorkerOutput {
            WorkerOutput(
                after: after ?? self.soon,
                "{\"jsonrpc\":\"2.0\",\"id\":\(self.number),\"result\":{\"nonce\":\(self.nonce)}}",
                .reply(self.number, .result))
        }

        func error(_ code: Int) -> WorkerOutput {
            let line =
                "{\"jsonrpc\":\"2.0\",\"id\":\(self.number),\"error\":{\"code\":\(code),\"message\":\"no\"}}"
            return WorkerOutput(after: self.soon, line, .reply(self.number, .error))
        }

        func chunk(
            _ index: Int, isFinal: Bool, after: Nanoseconds, _ random: inout SeededGenerator
        ) -> WorkerOutput {
            let quote = Bool.random(using: &random) ? "\"" : ""
            let kind = ["partial_answer", "document", "metadata"].randomElement(using: &random) ?? ""
            let end = isFinal ? ",\"is_final\":true" : ""
            let line =
                "{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":"
                + "\(quote)\(self.number)\(quote),\"chunk_type\":\"\(kind)\","
                + "\"data\":{\"nonce\":\(self.nonce),\"kind\":\"\(kind)\"}\(end)}}"
            return WorkerOutput(after: after, line, .chunk(self.number, isFinal: isFinal))
        }

        func badChunk(after: Nanoseconds) -> WorkerOutput {
            let line =
                "{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":\(self.number),"
                + "\"chunk_type\":\"bad\",\"data\":0}}"
            return WorkerOutput(after: after, line, .badChunk)
        }

        /// A reply that names the call and is none.
        func unreadable(_ rest: String) -> WorkerOutput {
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(self.number),\(rest)"
            return WorkerOutput(after: self.soon, line, .reply(self.number, .unreadable))
        }
    }

    private mutating func act(
        _ behaviour: WorkerBehaviour, _ call: Call, _ random: inout SeededGenerator
    ) -> Reaction {
        let soon = call.soon
        switch behaviour {
        case .answer: return ([call.result()], .none)
        case .answerSlowly: return ([call.result(after: Self.delay(500...9000, &random))], .none)
        case .error: return ([call.error(3001)], .none)
        case .ownFault: return ([call.error(-32603)], .none)
        case .crash: return ([], .crash(after: soon))
        case .hang: return ([], .none)
        case .answerTwice: return ([call.result(), call.result(after: soon + 1)], .none)
        case .answerAgainLater:
            return ([call.result(), call.result(after: soon + Self.delay(1...4000, &random))], .none)
        case .foreignReply, .replyToAnothersCall: return (self.foreign(behaviour, call, &random), .none)
        case .noiseThenAnswer, .flood, .halfLine: return (self.noisy(behaviour, call), .none)
        case .unreadable, .garbageReply, .oversizeReply, .deepReply:
            return ([Self.unreadable(behaviour, call)], .none)
        case .changeCapabilities:
            let new = WorkerTemper.Declaration(&random)
            let line =
                "{\"jsonrpc\":\"2.0\",\"method\":\"worker.capabilities\",\"params\":{\"max_concurrency\":"
                + "\(new.concurrency),\"cancel\":\(new.honoursCancel)}}"
            return ([WorkerOutput(after: soon, line, .capabilities(new)), call.result()], .none)
        case .askTheSupervisor:
            self.questions += 1
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(self.questions),\"method\":\"what.time\"}"
            return ([WorkerOutput(after: soon, line, .question(self.questions)), call.result()], .none)
        case .closeOutputAndDie: return ([], .closeOutput(after: soon, dies: true))
        case .closeOutputAndLive: return ([], .closeOutput(after: soon, dies: false))
        case .closeInput: return ([call.result(after: soon * 2)], .closeInput(after: soon))
        case .stopReading: return ([call.result()], .stopReading(for: Self.delay(10...3000, &random)))
        case .grow: return ([call.result()], .grow)
        case .stream, .streamThenError, .streamThenHang, .streamThenCrash, .streamOn:
            return Self.stream(behaviour, call, &random)
        }
    }

    private static func stream(
        _ behaviour: WorkerBehaviour, _ call: Call, _ random: inout SeededGenerator
    ) -> Reaction {
        var outputs: [WorkerOutput] = []
        var time: Nanoseconds = 0
        let count = Int.random(in: 0...12, using: &random)
        let last = Bool.random(using: &random) ? Int.random(in: 0...12, using: &random) : .max
        for index in 0..<count {
            time += Bool.random(using: &random) ? 0 : self.delay(1...400, &random)
            if Int.random(in: 0..<20, using: &random) == 0 {
                outputs.append(call.badChunk(after: time))
            } else {
                outputs.append(call.chunk(index, isFinal: index == last, after: time, &random))
            }
        }
        time += call.soon
        switch behaviour {
        case .streamThenCrash: return (outputs, .crash(after: time))
        case .streamThenHang: return (outputs, .none)
        case .streamThenError:
            var error = call.error(3003)
            error.after = time
            return (outputs + [error], .none)
        case .streamOn:
            let more = call.chunk(count, isFinal: false, after: time + call.soon, &random)
            return (outputs + [call.result(after: time), more], .none)
        default: return (outputs + [call.result(after: time)], .none)
        }
    }

    private func foreign(
        _ behaviour: WorkerBehaviour, _ call: Call, _ random: inout SeededGenerator
    ) -> [WorkerOutput] {
        if behaviour == .replyToAnothersCall, let other = call.other {
            let line = "{\"jsonrpc\":\"2.0\",\"id\":\(other),\"result\":{\"nonce\":\"stolen\"}}"
            var forged = WorkerOutput(after: 0, line, .reply(other, .result))
            forged.isForged = true
            return [forged, call.result()]
        }
        let ids = ["\(call.number &+ 1 << 20)", "\"7\"", "-1", "null", "12345678901234567890", "1.5"]
        let id = ids.randomElement(using: &random) ?? "null"
        let line = "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"result\":{\"nonce\":\"foreign\"}}"
        return [WorkerOutput(after: call.soon, line, .foreignReply), call.result()]
    }

    private func noisy(_ behaviour: WorkerBehaviour, _ call: Call) -> [WorkerOutput] {
        switch behaviour {
        case .flood:
            return (0..<6).map { WorkerOutput(after: call.soon, "warning \($0)", .noise) } + [call.result()]
        case .halfLine:
            return [WorkerOutput(after: call.soon, "{\"jsonrpc\":\"2.0\",\"resu", .noise), call.result()]
        default:
            return [WorkerOutput(after: call.soon, "Loading model... 100%", .noise), call.result()]
        }
    }

    private static func unreadable(_ behaviour: WorkerBehaviour, _ call: Call) -> WorkerOutput {
        switch behaviour {
        case .garbageReply: return call.unreadable("\"result\":1,\"error\":2}")
        case .deepReply:
            let deep = String(repeating: "[", count: 70) + String(repeating: "]", count: 70)
            return call.unreadable("\"result\":\(deep)}")
        case .oversizeReply:
            var output = call.unreadable("\"result\":\"xxxx")
            output.isOversize = true
            return output
        default: return call.unreadable("\"result\":{\"nonce\":")
        }
    }
}
