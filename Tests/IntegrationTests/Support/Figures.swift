import Glibc
import Testing

/// Measured figures: how they are written, and the table that docs/promises.md holds.
enum Figures {
    /// The long form of the promises' tests is asked for: `PROMISES=long`.
    static let isLong = getenv("PROMISES").map { String(cString: $0) } == "long"

    /// What the short form allows: noisy machines, debug builds.
    static let margin = isLong ? 1.0 : 10.0

    /// Long or short, whatever is measured in: seconds, rounds.
    static func scaled<Number>(_ short: Number, long: Number) -> Number { self.isLong ? long : short }

    static func milliseconds(_ seconds: Double) -> String {
        let value = seconds * 1000
        guard value.isFinite else { return "-" }
        return abs(value) >= 100 ? "\(Int(value.rounded())) ms" : "\((value * 10).rounded() / 10) ms"
    }

    static func percent(_ share: Double) -> String { "\((share * 10_000).rounded() / 100) %" }

    /// Prints a row of the table in docs/promises.md, in the form in which it stands there.
    static func row(_ promise: String, _ what: String, measured: String, promised: String) {
        print("| \(promise) | \(what) | \(measured) | \(promised) |")
    }
}

extension [Double] {
    /// The smallest value that so many percent of all do not exceed; not a number when there are none.
    func percentile(_ percent: Double) -> Double {
        guard !self.isEmpty else { return .nan }
        let rank = (percent / 100 * Double(self.count)).rounded(.up)
        return self.sorted()[Swift.max(0, Swift.min(self.count, Int(rank)) - 1)]
    }
}
