/// A span of time that `metrics.get` can be asked for (protocol §3).
public enum MetricsTimeRange: String, CaseIterable, Sendable {
    case minute = "1m"
    case fiveMinutes = "5m"
    case quarter = "15m"
    case hour = "1h"
    case sixHours = "6h"
    case day = "24h"
    case week = "7d"

    public var seconds: Int64 {
        switch self {
        case .minute: 60
        case .fiveMinutes: 300
        case .quarter: 900
        case .hour: 3_600
        case .sixHours: 21_600
        case .day: 86_400
        case .week: 604_800
        }
    }

    var nanoseconds: Int64 { self.seconds * 1_000_000_000 }
}
