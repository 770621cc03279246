import Protocol

/// What a round is measured by.
enum BenchMeasure: String, CaseIterable {
    case throughput = "throughput_per_s"
    case p50 = "p50_us"
    case p90 = "p90_us"
    case p95 = "p95_us"
    case p99 = "p99_us"
    case p999 = "p99_9_us"
    case maximum = "max_us"
    case supervisorTime = "supervisor_cpu_us_per_call"
    case workerTime = "workers_cpu_us_per_call"
    case clientTime = "client_cpu_us_per_call"

    var title: String {
        switch self {
        case .throughput: "throughput"
        case .p50: "p50"
        case .p90: "p90"
        case .p95: "p95"
        case .p99: "p99"
        case .p999: "p99.9"
        case .maximum: "max"
        case .supervisorTime: "supervisor CPU"
        case .workerTime: "workers CPU"
        case .clientTime: "client CPU"
        }
    }

    /// With its unit.
    func text(_ value: Double) -> String {
        switch self {
        case .throughput: "\(BenchText.grouped(value))/s"
        case .supervisorTime, .workerTime, .clientTime: "\(BenchText.duration(value)) a call"
        default: BenchText.duration(value)
        }
    }

    private var share: Double? {
        switch self {
        case .p50: 0.5
        case .p90: 0.9
        case .p95: 0.95
        case .p99: 0.99
        case .p999: 0.999
        case .maximum: 1
        default: nil
        }
    }

    /// Microseconds, or calls a second, with three decimals.
    ///
    /// - Returns: nil for what could not be measured, and for all of a round that failed.
    func value(of round: LoadFigures) -> Double? {
        round.isFailed ? nil : self.exactValue(of: round).map { ($0 * 1000).rounded() / 1000 }
    }

    private func exactValue(of round: LoadFigures) -> Double? {
        if let share { return round.latencies.quantile(share).map { Double($0) / 1000 } }
        func perCall(_ time: Nanoseconds?) -> Double? {
            time.map { Double($0) / 1000 / Double(round.answers) }
        }
        return switch self {
        case .throughput: Double(round.arrivals) / round.window.inSeconds
        case .supervisorTime: perCall(round.processorTime?.supervisor)
        case .workerTime: perCall(round.processorTime?.workers)
        default: perCall(round.processorTime?.client)
        }
    }
}

/// The median of several rounds, and how far they lie apart.
struct BenchSpread: Equatable {
    var median: Double
    var least: Double
    var most: Double

    /// nil without any value. Of an even number, the median lies in the middle of the middle two.
    init?(_ values: [Double]) {
        let sorted = values.sorted()
        guard let least = sorted.first, let most = sorted.last else { return nil }
        self.median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        self.least = least
        self.most = most
    }

    init(median: Double, least: Double, most: Double) {
        self.median = median
        self.least = least
        self.most = most
    }

    /// From the least to the most, as a share of the median.
    var width: Double { self.median > 0 ? (self.most - self.least) / self.median : 0 }

    /// Whether both have values in common: then their medians differ by no more than the rounds do.
    func overlaps(_ other: BenchSpread) -> Bool { self.least <= other.most && other.least <= self.most }
}

/// Numbers for a person.
enum BenchText {
    /// Of microseconds, with three digits or more: `75.2 µs`, `1.23 ms`, `2.35 s`.
    static func duration(_ microseconds: Double) -> String {
        // What is rounded up to the next unit is shown in it.
        if microseconds < 999.5 { return "\(self.short(microseconds)) µs" }
        if microseconds < 999_500 { return "\(self.short(microseconds / 1000)) ms" }
        return "\(self.short(microseconds / 1_000_000)) s"
    }

    static func short(_ value: Double) -> String {
        StatusTable.rounded(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
    }

    static func percent(_ share: Double) -> String { "\(StatusTable.rounded(share * 100, 1)) %" }

    /// A whole number with commas: `4,113`.
    static func grouped(_ value: Double) -> String { self.grouped(Int(value.rounded())) }

    static func grouped(_ value: Int) -> String {
        let digits = Array("\(value)")
        return digits.enumerated().map { index, digit in
            let left = digits.count - index
            return index > 0 && left % 3 == 0 ? ",\(digit)" : "\(digit)"
        }.joined()
    }
}
