import Protocol

/// What the command line of `supervisor bench` asks for, checked.
struct BenchOptions {
    /// One method of the load.
    struct Call: Equatable {
        var method: String
        var weight: Int
    }

    /// The one method that every worker answers, through all hops of a call, and that no cache answers for it.
    static let standardMethod = "health.check"
    private static let largestPayload = 8 << 20
    private static let mostInFlight = 1_000_000

    var plan: LoadPlan
    var warmup: Nanoseconds
    var duration: Nanoseconds
    var calls: [Call]
    /// JSON text; empty: none.
    var params: String
    var payloadBytes: Int?
    /// The share of calls that repeat an earlier one's params; nil: params are not varied, but for their `$N`.
    var cacheHits: Double?
    var rounds: Int
    /// nil: a running supervisor is measured.
    var command: [String]?
    var workers: Int
    var isSuite: Bool
    var printsJSON: Bool
    var savePath: String?
    var comparePath: String?

    private static let standardConnections = 8
    private static let standardWorkers = 2
    /// Those that mean nothing to a suite, which decides for itself.
    private static let loadOptions = [
        "connections", "depth", "duration", "warmup", "rate", "method", "mix", "size", "cache-hits", "rounds",
        "save", "compare",
    ]

    init(_ arguments: ParsedArguments) throws(CommandFailure) {
        self.isSuite = try Self.suite(arguments)
        self.command = arguments.trailing
        self.workers = try Self.number(arguments, "workers", 1...1024) ?? Self.standardWorkers
        try Self.checkServer(arguments)
        self.warmup = try Self.warmup(arguments)
        self.duration = try arguments.duration("duration") ?? .seconds(10)
        self.plan = LoadPlan(
            connections: try Self.number(arguments, "connections", 1...10_000) ?? Self.standardConnections,
            depth: try Self.number(arguments, "depth", 1...10_000) ?? 1,
            extent: .time(warmup: self.warmup, measured: self.duration))
        guard self.plan.slots <= Self.mostInFlight else {
            throw .usage(
                "--connections × --depth: expected at most \(Self.mostInFlight), found \(self.plan.slots)")
        }
        if let rate = try Self.number(arguments, "rate", 1...10_000_000) { self.plan.pace = .rate(rate) }
        self.calls = try Self.calls(arguments)
        self.payloadBytes = try Self.payloadBytes(arguments)
        self.cacheHits = try Self.share(arguments, "cache-hits")
        self.params = try Self.params(arguments)
        if self.params.first == "[", self.payloadBytes != nil || self.cacheHits != nil {
            throw .usage("--size and --cache-hits need --params that are an object, found an array")
        }
        self.rounds = try Self.number(arguments, "rounds", 1...1000) ?? 1
        self.printsJSON = arguments.flag("json")
        self.savePath = arguments.value("save")
        self.comparePath = arguments.value("compare")
    }

    private static func suite(_ arguments: ParsedArguments) throws(CommandFailure) -> Bool {
        guard let name = arguments.value("suite") else { return false }
        guard name == "ipc" else { throw .usage("--suite: expected ipc, found \(Excerpt.escaped(name))") }
        if let option = self.loadOptions.first(where: { arguments.value($0) != nil }) {
            throw .usage("--suite ipc makes its own calls: --\(option) has no place there")
        }
        return true
    }

    private static func checkServer(_ arguments: ParsedArguments) throws(CommandFailure) {
        if arguments.trailing != nil, arguments.value("socket") != nil {
            throw .usage("--socket names a running supervisor, COMMAND starts one: expected one of them")
        }
        if arguments.trailing == nil, arguments.value("workers") != nil {
            throw .usage("--workers is for the supervisor that COMMAND behind -- starts")
        }
    }

    private static func warmup(_ arguments: ParsedArguments) throws(CommandFailure) -> Nanoseconds {
        guard let text = arguments.value("warmup") else { return .seconds(1) }
        guard let duration = DurationText.nanoseconds(text) else {
            throw .usage(
                "--warmup: expected a duration such as 0s, 500ms or 2s, found \(Excerpt.escaped(text))")
        }
        return duration
    }

    private static func number(
        _ arguments: ParsedArguments, _ name: String, _ range: ClosedRange<Int>
    ) throws(CommandFailure) -> Int? {
        guard let text = arguments.value(name) else { return nil }
        guard let number = Int(text), range.contains(number) else {
            throw .usage(
                "--\(name): expected a whole number from \(range.lowerBound) to \(range.upperBound), found "
                    + Excerpt.escaped(text))
        }
        return number
    }

    private static func share(_ arguments: ParsedArguments, _ name: String) throws(CommandFailure) -> Double?
    {
        guard let text = arguments.value(name) else { return nil }
        guard let share = Double(text), (0...1).contains(share) else {
            throw .usage(
                "--\(name): expected a share from 0 to 1, such as 0.9, found \(Excerpt.escaped(text))")
        }
        return share
    }

    private static func payloadBytes(_ arguments: ParsedArguments) throws(CommandFailure) -> Int? {
        guard let text = arguments.value("size") else { return nil }
        let bytes = Int(text) ?? ByteCountText.bytes(text).flatMap { Int(exactly: $0) }
        guard let bytes, (1...self.largestPayload).contains(bytes) else {
            throw .usage(
                "--size: expected a number of bytes from 1 to 8MiB, such as 512 or 64KiB, found "
                    + Excerpt.escaped(text))
        }
        return bytes
    }

    private static func params(_ arguments: ParsedArguments) throws(CommandFailure) -> String {
        guard let text = arguments.value("params") else { return "" }
        do throws(JSONError) {
            let value = try JSONValue(parsing: text)
            switch value {
            case .object, .array: break
            default:
                throw JSONError(.expected("a JSON object or array, found \(value.kindDescription)"), at: 0)
            }
        } catch {
            throw .usage("--params: \(error)")
        }
        let spaces: Set<Character> = [" ", "\t", "\n", "\r", "\r\n"]
        let start = text.drop(while: spaces.contains)
        return String(start.reversed().drop(while: spaces.contains).reversed())
    }
}

// MARK: - Calls

extension BenchOptions {
    private static func calls(_ arguments: ParsedArguments) throws(CommandFailure) -> [Call] {
        guard let mix = arguments.value("mix") else {
            return [Call(method: arguments.value("method") ?? self.standardMethod, weight: 1)]
        }
        guard arguments.value("method") == nil else {
            throw .usage("--method and --mix both say what to call: expected one of them")
        }
        var calls: [Call] = []
        for part in mix.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false)
            guard pair.count == 2, !pair[0].isEmpty, let weight = Int(pair[1]),
                (1...1_000_000).contains(weight)
            else {
                throw .usage(
                    "--mix: expected METHOD=WEIGHT,… with whole weights from 1, such as rag.execute=9,ping=1, "
                        + "found \(Excerpt.escaped(String(part)))")
            }
            guard !calls.contains(where: { $0.method == pair[0] }) else {
                throw .usage("--mix: \(Excerpt.escaped(String(pair[0]))) is given twice")
            }
            calls.append(Call(method: String(pair[0]), weight: weight))
        }
        return calls
    }

    /// The calls to send, in a mix that differs with the seed.
    func mix(seed: UInt64) -> CallMix {
        let params = self.wholeParams
        return CallMix(
            self.calls.map { (CallTemplate(method: $0.method, params: params), $0.weight) },
            repeats: self.cacheHits ?? 0, seed: seed)
    }

    /// The params with what `--size` and `--cache-hits` put into them.
    var wholeParams: String {
        var members: [String] = []
        if let payloadBytes {
            members.append("\"payload\":\"\(String(repeating: "x", count: payloadBytes))\"")
        }
        if self.cacheHits != nil, !self.params.contains(CallTemplate.placeholder) {
            members.append("\"n\":\"\(CallTemplate.placeholder)\"")
        }
        guard !members.isEmpty else { return self.params }
        let given = self.params.isEmpty ? "" : String(self.params.dropFirst().dropLast())
        if !given.allSatisfy(\.isWhitespace) { members.insert(given, at: 0) }
        return "{\(members.joined(separator: ","))}"
    }

    /// As it is saved, and compared.
    ///
    /// - Parameter workers: those that the supervisor has.
    func load(workers: Int) -> JSONValue {
        let calls: [JSONValue] = self.calls.map { call in
            ["method": .string(call.method), "weight": .integer(call.weight)]
        }
        let rate: Int? = if case .rate(let number) = self.plan.pace { number } else { nil }
        func number(_ value: Int?) -> JSONValue { value.map { .integer($0) } ?? .null }
        return .object([
            .init("calls", .array(calls)), .init("params", .string(self.params)),
            .init("size", number(self.payloadBytes)),
            .init("cache_hits", self.cacheHits.map { .double($0) } ?? .null),
            .init("connections", number(self.plan.connections)), .init("depth", number(self.plan.depth)),
            .init("rate", number(rate)), .init("duration_ms", .double(self.duration.inMilliseconds)),
            .init("warmup_ms", .double(self.warmup.inMilliseconds)), .init("workers", number(workers)),
        ])
    }

    /// The load in a sentence.
    var text: String {
        let methods =
            self.calls.count == 1
            ? self.calls[0].method : self.calls.map { "\($0.method)=\($0.weight)" }.joined(separator: ",")
        let pace =
            if case .rate(let rate) = self.plan.pace {
                "\(BenchText.grouped(rate)) calls a second"
            } else { "as fast as they are answered" }
        let rounds = self.rounds == 1 ? "" : "\(self.rounds) rounds of "
        return "\(Excerpt.escaped(methods, limit: 200)): \(self.plan.connections) connections × "
            + "\(self.plan.depth) in flight, \(pace), \(rounds)\(DurationText.text(self.duration)) after "
            + "\(DurationText.text(self.warmup)) of warm-up"
    }
}
