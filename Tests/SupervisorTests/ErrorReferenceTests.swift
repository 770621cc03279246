import Testing

/// docs/errors.md names every reason that the sources give for an error of the supervisor's own.
@Suite struct ErrorReferenceTests {
    @Test func namesEveryReason() {
        let page = SourceTree.text("docs/errors.md")
        let given = /reason: (?:[A-Za-z]+ \? )?"([a-z_]+)"(?: : "([a-z_]+)")?/
        let listed = /case [A-Za-z]+ = "([a-z_]+)"/
        var reasons: Set<Substring> = []
        for path in SourceTree.sources(in: ["Sources/Supervisor/Core", "Sources/Protocol/Messages"]) {
            for match in SourceTree.text(path).matches(of: given) {
                reasons.insert(match.output.1)
                if let other = match.output.2 { reasons.insert(other) }
            }
        }
        // Those of messages that are none, of clients and of workers.
        for name in ["ClientMessage", "WorkerMessage"] {
            let text = SourceTree.text("Sources/Protocol/Envelope/\(name).swift")
            for match in text.matches(of: listed) { reasons.insert(match.output.1) }
        }
        #expect(reasons.count > 25, "\(reasons.sorted())")
        let missing = reasons.filter { !page.contains("`\($0)`") }
        #expect(missing.isEmpty, "docs/errors.md does not name \(missing.sorted())")
    }
}
