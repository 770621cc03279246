import Protocol

/// Latencies as bars, one line for each step of 1, 2, 5, 10, 20, … that has any, and for those between:
///
///      50 µs  100 µs  ██████████████████████████████   74.1 %  74,100
///     100 µs  200 µs  ██████████                       25.9 %  25,900
enum LatencyChart {
    private static let width = 40
    /// In nanoseconds, from 1 µs on; what is shorter is in the first step, what is longer in the last.
    private static let edges: [UInt64] = (0..<8).flatMap { power -> [UInt64] in
        let decade = (0..<power).reduce(UInt64(1000)) { edge, _ in edge * 10 }
        return [decade, decade * 2, decade * 5]
    }

    /// Empty without any.
    static func text(_ latencies: LatencyHistogram) -> String {
        var counts = [UInt64](repeating: 0, count: self.edges.count)
        latencies.forEachDuration { nanoseconds, count in
            let above = self.edges.firstIndex { nanoseconds < $0 } ?? self.edges.count
            counts[max(0, above - 1)] += count
        }
        guard let first = counts.firstIndex(where: { $0 > 0 }),
            let last = counts.lastIndex(where: { $0 > 0 }), let largest = counts.max()
        else { return "" }
        let rows = (first...last).map { step in
            self.row(step, counts[step], of: latencies.count, largest: largest)
        }
        return AlignedTable.text(rows, textColumns: [2])
    }

    private static func row(_ step: Int, _ count: UInt64, of all: UInt64, largest: UInt64) -> [String] {
        let bar = (Double(count) / Double(largest) * Double(self.width)).rounded(.up)
        return [
            self.edge(step), step + 1 < self.edges.count ? self.edge(step + 1) : "",
            String(repeating: "█", count: Int(bar)), BenchText.percent(Double(count) / Double(all)),
            BenchText.grouped(Int(count)),
        ]
    }

    private static func edge(_ step: Int) -> String {
        let microseconds = self.edges[step] / 1000
        if microseconds < 1000 { return "\(microseconds) µs" }
        return microseconds < 1_000_000 ? "\(microseconds / 1000) ms" : "\(microseconds / 1_000_000) s"
    }
}

/// Cells in columns, numbers to the right.
enum AlignedTable {
    /// - Parameters:
    ///   - rows: all of the same length.
    ///   - textColumns: those that go to the left.
    static func text(_ rows: [[String]], textColumns: Set<Int>) -> String {
        guard let columns = rows.first?.indices else { return "" }
        let widths = columns.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = columns.map { column in
                let padding = String(repeating: " ", count: widths[column] - row[column].count)
                return textColumns.contains(column) ? row[column] + padding : padding + row[column]
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
