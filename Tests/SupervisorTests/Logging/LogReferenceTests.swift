import Glibc
import Testing

@testable import Supervisor

/// docs/logs.md names every event that the sources log.
@Suite struct LogReferenceTests {
    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
        .joined(separator: "/")

    private static func text(_ path: String) -> String {
        let (directory, name) = (
            FilePath.directory(of: path), path.split(separator: "/").last.map(String.init)
        )
        return String(decoding: TestDirectory(path: directory).contents(name ?? "") ?? [], as: UTF8.self)
    }

    private static func sources(in directory: String) -> [String] {
        // The catalogue is about methods, whose names look like those of events.
        TestDirectory.names(in: directory).filter { $0 != "Catalogue" }.flatMap { name in
            name.hasSuffix(".swift") ? ["\(directory)/\(name)"] : Self.sources(in: "\(directory)/\(name)")
        }
    }

    @Test func namesEveryEvent() {
        let page = Self.text("\(Self.root)/docs/logs.md")
        let event = /(?:\.(?:debug|info|warning|error),|event:|\?|:)\s+"([a-z]+\.[a-z_]+)"/
        var events: Set<Substring> = []
        for path in Self.sources(in: "\(Self.root)/Sources/Supervisor/Core")
            + Self.sources(in: "\(Self.root)/Sources/Supervisor/Server")
            + Self.sources(in: "\(Self.root)/Sources/Supervisor/System")
        {
            for match in Self.text(path).matches(of: event) { events.insert(match.output.1) }
        }
        #expect(events.count > 40, "\(events.sorted())")
        let missing = events.filter { !page.contains("`\($0)`") }
        #expect(missing.isEmpty, "docs/logs.md does not name \(missing.sorted())")
    }
}
