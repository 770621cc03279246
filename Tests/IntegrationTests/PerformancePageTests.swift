import Testing

extension IntegrationTests {
    /// docs/performance.md and its chart are written by Tests/Benchmarks/run, from what it measured.
    @Suite(.needsPython, .timeLimit(.minutes(1)))
    struct PerformancePage {
        private static let package = #filePath.split(separator: "/", omittingEmptySubsequences: false)
            .dropLast(3).joined(separator: "/")

        @Test func thePageSaysWhatWasMeasured() throws {
            let python = try #require(Programs.python)
            let run = "\(Self.package)/Tests/Benchmarks/run"
            let check = try Command.run([python, "-B", run, "--check"])
            #expect(check.exitCode == 0, "\(check.errors)")
        }
    }
}
