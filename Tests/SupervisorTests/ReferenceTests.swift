import Protocol
import Testing

@testable import Supervisor

@Suite struct ReferenceTests {
    @Test func thePageIsAsTheProgramPrintsIt() {
        #expect(
            SourceTree.text("docs/reference.md") == ReferencePage.text,
            "docs/reference.md is stale: renew it with `swift run supervisor reference > docs/reference.md`")
    }

    @Test func namesEveryMethodErrorTopicAndCommand() {
        let text = ReferencePage.text
        for method in MethodCatalogue.all { #expect(text.contains("\n### \(method.name)\n")) }
        for topic in EventTopic.allCases { #expect(text.contains("| `\(topic.rawValue)` |")) }
        for command in CommandSyntax.all { #expect(text.contains("Usage: \(command.usage)\n")) }
    }

    @Test func everyTypeThatIsNamedIsExplained() {
        for component in MethodCatalogue.Component.allCases {
            #expect(ReferencePage.text.contains("| `\(component.rawValue)` |"))
        }
    }

    @Test func everyKeyOfTheConfigurationHasItsDefaultAndWhatItTakes() throws {
        let keys = ConfigurationKey.all
        #expect(keys.count > 70, "\(keys.count)")
        #expect(Set(keys.map(\.path)).count == keys.count)
        for key in keys { #expect(!key.expectation.isEmpty, "\(key.path)") }
        func key(_ path: String) throws -> ConfigurationKey {
            try #require(keys.first { $0.path == path }, "\(path)")
        }
        #expect(try key("health.interval").standard == "10s")
        #expect(try key("health.interval").expectation.hasPrefix("a duration such as"))
        #expect(try key("pools[].min_workers").expectation == "a whole number from 1 to 1024")
        #expect(try key("pools[].command").expectation.hasPrefix("list of: a string"))
        #expect(try key("timeouts.per_method").expectation.hasPrefix("object of: a duration"))
        #expect(try key("recycle.max_age").expectation.hasSuffix(", or \"off\""))
        #expect(try key("cache.response_cache_bytes").standard == "64MiB")
    }

    @Test func aBarDoesNotEndACell() {
        #expect(
            ReferencePage.table(["a"], [["x|y"], [""]]) == "| a |\n| --- |\n| x\\|y |\n|  |\n")
    }
}
