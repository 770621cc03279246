import Protocol

/// What several rounds of the same load came to.
struct BenchReport {
    /// The rounds of a closed loop differ by less on a machine that has nothing else to do.
    private static let noisyWidth = 0.1
    private static let busyShare = 0.9
    static let format = "supervisor bench 1"

    /// What was asked for, as it is saved.
    let load: JSONValue
    let rounds: [LoadFigures]
    /// All rounds together.
    let total: LoadFigures
    /// Of the rounds that did not fail; without what could not be measured.
    let spreads: [BenchMeasure: BenchSpread]
    /// Of the calls that asked the response cache, the share that it answered; nil when none asked.
    let cacheShare: Double?

    init(load: JSONValue, rounds: [LoadFigures], cacheShare: Double? = nil) {
        self.load = load
        self.rounds = rounds
        self.cacheShare = cacheShare
        self.total = rounds.reduce(into: LoadFigures()) { $0.merge($1) }
        var spreads: [BenchMeasure: BenchSpread] = [:]
        for measure in BenchMeasure.allCases {
            spreads[measure] = BenchSpread(rounds.compactMap { measure.value(of: $0) })
        }
        self.spreads = spreads
    }

    var failedRounds: Int { self.rounds.count(where: \.isFailed) }

    /// A sentence on how far the rounds differ, where that matters.
    var noise: String? {
        guard self.rounds.count - self.failedRounds > 1 else { return nil }
        // At a fixed rate the throughput is what was asked for.
        let measure: BenchMeasure = self.load["rate"]?.isNull == false ? .p50 : .throughput
        guard let width = self.spreads[measure]?.width, width > Self.noisyWidth else { return nil }
        return "too noisy: the rounds differ by \(BenchText.percent(width)) in \(measure.title); a smaller "
            + "difference between two runs says nothing"
    }

    /// A sentence for when this program had no time left: then it is slower than what it measures.
    var clientLimit: String? {
        let shares = self.rounds.compactMap { round in
            round.processorTime.map { Double($0.client) / Double(max(1, round.window)) }
        }
        guard let share = shares.max(), share > Self.busyShare else { return nil }
        return "this client was busy for \(BenchText.percent(share)) of a round: the figures may be its own"
    }

    /// As `--json` prints and `--save` keeps it.
    var json: JSONValue {
        let figures = BenchMeasure.allCases.compactMap { measure in
            self.spreads[measure].map { spread in
                JSONValue.Member(
                    measure.rawValue,
                    [
                        "median": .double(spread.median), "least": .double(spread.least),
                        "most": .double(spread.most),
                    ])
            }
        }
        return [
            "format": .string(Self.format), "version": .string(ProductVersion.text), "load": self.load,
            "calls": .integer(self.total.calls), "results": .integer(self.total.results),
            "errors": .array(self.total.errors.map(Self.json)),
            "unanswered": .integer(self.total.unanswered), "unsent": .integer(self.total.unsent),
            "cache_hit_share": self.cacheShare.map { JSONValue.double($0) } ?? .null,
            "figures": .object(figures),
            "rounds": .array(self.rounds.map(Self.json)),
        ]
    }

    private static func json(_ tally: LoadFigures.Tally) -> JSONValue {
        [
            "code": .integer(tally.code), "count": .integer(tally.count), "message": .string(tally.message),
        ]
    }

    private static func json(_ round: LoadFigures) -> JSONValue {
        let values = BenchMeasure.allCases.map { measure in
            JSONValue.Member(
                measure.rawValue, measure.value(of: round).map { JSONValue.double($0) } ?? .null)
        }
        return .object(
            values + [
                .init("calls", .integer(round.calls)), .init("errors", .integer(round.errorCount)),
                .init("failure", .string(round.failureSentence)),
            ])
    }
}

extension LoadFigures {
    /// Why the round has no figures; nil when it has.
    var failureSentence: String? {
        guard self.isFailed else { return nil }
        return self.failure ?? "no call was answered with a result in time"
    }
}

/// A run that was kept by `--save`.
struct SavedBench {
    let load: JSONValue
    let spreads: [BenchMeasure: BenchSpread]

    /// - Throws: what is wrong with it, in words.
    init(_ bytes: [UInt8]) throws(JSONError) {
        let value = try JSONValue(parsing: bytes)
        guard value["format"] == .string(BenchReport.format), let figures = value["figures"],
            let load = value["load"]
        else { throw JSONError(.expected("\"format\": \"\(BenchReport.format)\""), at: 0) }
        var spreads: [BenchMeasure: BenchSpread] = [:]
        for measure in BenchMeasure.allCases {
            guard let saved = figures[measure.rawValue], let median = saved["median"]?.doubleValue,
                let least = saved["least"]?.doubleValue, let most = saved["most"]?.doubleValue
            else { continue }
            spreads[measure] = BenchSpread(median: median, least: least, most: most)
        }
        self.load = load
        self.spreads = spreads
    }

    /// What was asked for otherwise than in another run, such as `depth 1, now 4`. How long it took is no difference.
    func differences(from load: JSONValue) -> [String] {
        (load.objectValue ?? []).filter { !$0.name.hasSuffix("_ms") }.compactMap { member in
            let before = self.load[member.name] ?? .null
            guard before != member.value else { return nil }
            return "\(member.name) \(Excerpt.escaped(before.text)), now \(Excerpt.escaped(member.value.text))"
        }
    }
}
