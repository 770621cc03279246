import Testing

/// Real processes, sockets and signals. One after another: they measure times, and count processes.
@Suite(.serialized, .enabled(if: Programs.areBuilt, Programs.buildHint))
struct IntegrationTests {}

extension Trait where Self == ConditionTrait {
    /// For tests whose workers are the fixture.
    static var needsPython: Self { .enabled(if: Programs.python != nil, "python3 is missing: install it") }
}

/// Says why when all of the above is skipped.
@Suite struct IntegrationPrerequisites {
    @Test func theProgramsStandBesideTheTests() {
        #expect(Programs.areBuilt, Programs.buildHint)
    }
}
