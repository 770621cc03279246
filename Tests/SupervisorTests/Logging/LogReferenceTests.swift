import Testing

/// docs/logs.md names every event that the sources log.
@Suite struct LogReferenceTests {
    @Test func namesEveryEvent() {
        let page = SourceTree.text("docs/logs.md")
        let event = /(?:\.(?:debug|info|warning|error),|event:|\?|:)\s+"([a-z]+\.[a-z_]+)"/
        var events: Set<Substring> = []
        // The catalogue is about methods, whose names look like those of events.
        let sources = SourceTree.sources(
            in: ["Core", "Server", "System"].map { "Sources/Supervisor/\($0)" }, except: "Catalogue")
        for path in sources {
            for match in SourceTree.text(path).matches(of: event) { events.insert(match.output.1) }
        }
        #expect(events.count > 40, "\(events.sorted())")
        let missing = events.filter { !page.contains("`\($0)`") }
        #expect(missing.isEmpty, "docs/logs.md does not name \(missing.sorted())")
    }
}
