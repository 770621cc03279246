import Testing

extension IntegrationTests {
    /// What docs/promises.md promises, on real processes: each test begins with the number of its promise.
    ///
    ///     swift test --filter Promises                                   counts and order; times with a wide margin
    ///     PROMISES=long …                                                60 s each; judges the figures themselves
    ///
    /// The whole command of the long form stands in docs/promises.md. Both print the figures; the rows that begin with `|` are those of the table in docs/promises.md.
    @Suite(.timeLimit(.minutes(15)))
    struct Promises {}
}
