import Protocol

/// A report for a person: counts, figures side by side, bars.
enum BenchReportText {
    /// - Parameter saved: the run that it is compared with.
    static func text(_ report: BenchReport, comparedWith saved: SavedBench? = nil) -> String {
        var lines = self.counts(report.total)
        if let share = report.cacheShare {
            lines.append(["from the cache", BenchText.percent(share)])
        }
        var text = lines.map { "\($0[0]): \($0[1])\n" }.joined()
        text += "\n" + self.figures(report, saved)
        text += self.remarks(report, saved).map { "\($0)\n" }.joined()
        let chart = LatencyChart.text(report.total.latencies)
        return chart.isEmpty ? text : "\(text)\n\(chart)"
    }

    private static func counts(_ total: LoadFigures) -> [[String]] {
        var lines = [
            ["calls", BenchText.grouped(total.calls)], ["results", BenchText.grouped(total.results)],
            ["errors", BenchText.grouped(total.errorCount)],
        ]
        for tally in total.errors {
            let message = Excerpt.escaped(tally.message, limit: 200)
            lines.append(["  \(tally.code)", "\(BenchText.grouped(tally.count))  \(message)"])
        }
        if total.unanswered > 0 { lines.append(["unanswered", BenchText.grouped(total.unanswered)]) }
        if total.unsent > 0 {
            lines.append([
                "never sent",
                "\(BenchText.grouped(total.unsent))  due, but as many as allowed were in flight",
            ])
        }
        if total.strays > 0 { lines.append(["answers too many", BenchText.grouped(total.strays)]) }
        return lines
    }

    /// One line a measure. The least and the most are of single rounds.
    private static func figures(_ report: BenchReport, _ saved: SavedBench?) -> String {
        let hasRounds = report.rounds.count - report.failedRounds > 1
        var header = ["", hasRounds ? "MEDIAN" : ""]
        if hasRounds { header += ["LEAST", "MOST"] }
        if saved != nil { header += ["SAVED", "RATIO", ""] }
        var rows: [[String]] = []
        for measure in BenchMeasure.allCases {
            guard let spread = report.spreads[measure] else { continue }
            var row = [measure.title, measure.text(spread.median)]
            if hasRounds { row += [measure.text(spread.least), measure.text(spread.most)] }
            if let saved { row += self.comparison(measure, spread, saved.spreads[measure]) }
            rows.append(row)
        }
        guard !rows.isEmpty else { return "" }
        let hasTitles = hasRounds || saved != nil
        return AlignedTable.text(
            (hasTitles ? [header] : []) + rows, textColumns: [0, header.count - (saved == nil ? 0 : 1)])
    }

    private static func comparison(
        _ measure: BenchMeasure, _ spread: BenchSpread, _ saved: BenchSpread?
    ) -> [String] {
        guard let saved else { return ["-", "-", ""] }
        guard saved.median > 0 else { return [measure.text(saved.median), "-", ""] }
        return [
            measure.text(saved.median), StatusTable.rounded(spread.median / saved.median, 2),
            spread.overlaps(saved) ? "the rounds overlap" : "",
        ]
    }

    private static func remarks(_ report: BenchReport, _ saved: SavedBench?) -> [String] {
        var remarks: [String] = []
        for (index, round) in report.rounds.enumerated() {
            guard let sentence = round.failureSentence else { continue }
            remarks.append("! round \(index + 1) failed and is left out: \(sentence)")
        }
        remarks += [report.noise, report.clientLimit].compactMap(\.self).map { "! \($0)" }
        if let saved {
            let differences = saved.differences(from: report.load)
            if !differences.isEmpty {
                remarks.append("! the saved run was another load: \(differences.joined(separator: "; "))")
            }
            if report.rounds.count == 1 {
                remarks.append("! one round does not show how far rounds differ: compare with --rounds 5")
            }
        }
        return remarks
    }
}
