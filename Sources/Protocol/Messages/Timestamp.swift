/// Points in time as the contract writes them: RFC 3339, UTC, milliseconds.
public enum Timestamp {
    /// `2026-01-31T12:00:00.000Z` for milliseconds since 1970, in the years 0000 to 9999.
    ///
    /// The date is computed with H. Hinnant's `civil_from_days` (chrono-compatible low-level date algorithms).
    public static func text(millisecondsSince1970 milliseconds: Int64) -> String {
        let days = self.floorDivide(milliseconds, 86_400_000)
        let ofDay = milliseconds - days * 86_400_000
        let (year, month, day) = self.civil(days: days)
        let seconds = ofDay / 1000
        return self.padded(year, 4) + "-" + self.padded(month, 2) + "-" + self.padded(day, 2) + "T"
            + self.padded(seconds / 3600, 2) + ":" + self.padded(seconds / 60 % 60, 2) + ":"
            + self.padded(seconds % 60, 2) + "." + self.padded(ofDay % 1000, 3) + "Z"
    }

    private static func civil(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = days + 719_468
        let era = self.floorDivide(shifted, 146_097)
        let ofEra = shifted - era * 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * ofYear + 2) / 153
        let day = ofYear - (153 * shiftedMonth + 2) / 5 + 1
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    private static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        value >= 0 ? value / divisor : (value - divisor + 1) / divisor
    }

    private static func padded(_ value: Int64, _ width: Int) -> String {
        let digits = String(value)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }

    /// Whether the bytes are `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh:mm)` with every part in its range.
    public static func isRFC3339(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        guard let year = self.digits(&rest, 4), self.skip(&rest, "-"),
            let month = self.digits(&rest, 2), (1...12).contains(month), self.skip(&rest, "-"),
            let day = self.digits(&rest, 2), (1...self.days(in: month, of: year)).contains(day),
            let separator = rest.popFirst(), separator | 0x20 == UInt8(ascii: "t"),
            let hour = self.digits(&rest, 2), hour < 24, self.skip(&rest, ":"),
            let minute = self.digits(&rest, 2), minute < 60, self.skip(&rest, ":"),
            let second = self.digits(&rest, 2), second <= 60  // a leap second
        else { return false }
        if self.skip(&rest, ".") {
            let fraction = rest.prefix { (0x30...0x39).contains($0) }
            guard !fraction.isEmpty else { return false }
            rest = rest.dropFirst(fraction.count)
        }
        return self.isOffset(rest)
    }

    private static func isOffset(_ bytes: ArraySlice<UInt8>) -> Bool {
        var rest = bytes
        guard let sign = rest.popFirst() else { return false }
        if sign | 0x20 == UInt8(ascii: "z") { return rest.isEmpty }
        guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"),
            let hour = self.digits(&rest, 2), hour < 24, self.skip(&rest, ":"),
            let minute = self.digits(&rest, 2), minute < 60
        else { return false }
        return rest.isEmpty
    }

    private static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func digits(_ bytes: inout ArraySlice<UInt8>, _ count: Int) -> Int? {
        guard bytes.count >= count else { return nil }
        var value = 0
        for byte in bytes.prefix(count) {
            guard (0x30...0x39).contains(byte) else { return nil }
            value = value * 10 + Int(byte - 0x30)
        }
        bytes = bytes.dropFirst(count)
        return value
    }

    private static func skip(_ bytes: inout ArraySlice<UInt8>, _ character: Unicode.Scalar) -> Bool {
        guard bytes.first == UInt8(ascii: character) else { return false }
        bytes = bytes.dropFirst()
        return true
    }
}
