/// Durations as people write them: a whole number and one of `ms`, `s`, `m`, `h`.
public enum DurationText {
    /// What a duration that may not be zero is at least: a millisecond.
    public static let shortest: Int64 = 1_000_000
    /// What a duration is at most: a year.
    public static let longest: Int64 = 365 * 24 * 3600 * 1_000_000_000

    private static let units: [(name: String, nanoseconds: Int64)] = [
        ("h", 3600 * 1_000_000_000), ("m", 60 * 1_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
    ]

    /// The nanoseconds of `"250ms"`; nil when it is no duration or does not fit.
    public static func nanoseconds(_ text: String) -> Int64? {
        Quantity.parse(text, units: self.units.map { ($0.name, $0.nanoseconds) })
    }

    /// The shortest text in whole units that means so many nanoseconds (below a millisecond: rounded down).
    public static func text(_ nanoseconds: Int64) -> String {
        let unit = self.units.first { nanoseconds != 0 && nanoseconds % $0.nanoseconds == 0 }
        guard let unit else { return nanoseconds == 0 ? "0s" : "\(nanoseconds / 1_000_000)ms" }
        return "\(nanoseconds / unit.nanoseconds)\(unit.name)"
    }
}

/// Numbers of bytes as people write them: a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
///
/// `KB` and `MB` are refused: half of those who write them mean 1,000 and half 1,024.
public enum ByteCountText {
    /// What a number of bytes is at most.
    public static let largest: Int64 = 1 << 50

    private static let units: [(name: String, bytes: Int64)] = [
        ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1),
    ]

    /// The bytes of `"64MiB"`; nil when it is no number of bytes or does not fit.
    public static func bytes(_ text: String) -> Int64? {
        Quantity.parse(text, units: self.units.map { ($0.name, $0.bytes) })
    }

    /// What was probably meant by `64MB`, `64M`, `64 mib`.
    static func nearest(_ text: String) -> String? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
        guard !digits.isEmpty, let first = unit.first,
            [String(first), "\(first)b", "\(first)ib"].contains(unit),
            let known = self.units.first(where: { $0.name.lowercased().first == first })
        else { return nil }
        return "\(digits)\(known.name)"
    }

    /// The shortest text in whole units that means so many bytes.
    public static func text(_ bytes: Int64) -> String {
        let unit = self.units.first { bytes != 0 && bytes % $0.bytes == 0 }
        guard let unit, unit.bytes > 1 else { return "\(bytes)" }
        return "\(bytes / unit.bytes)\(unit.name)"
    }
}

private enum Quantity {
    /// A decimal number, without sign, directly followed by a unit.
    static func parse(_ text: String, units: [(name: String, factor: Int64)]) -> Int64? {
        let digits = text.utf8.prefix { (0x30...0x39).contains($0) }
        let unit = String(text.utf8.dropFirst(digits.count)) ?? ""
        guard let number = Int64(String(digits) ?? ""),
            let factor = units.first(where: { $0.name == unit })?.factor
        else { return nil }
        let (product, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : product
    }
}
