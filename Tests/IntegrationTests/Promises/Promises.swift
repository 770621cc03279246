import Testing

extension IntegrationTests {
    /// What docs/promises.md promises, on real processes: each test begins with the number of its promise.
    ///
    ///     swift test --filter Promises                                   counts and order; times with a wide margin
    ///     PROMISES=long swift test -c release --filter Promises          60 s each; judges the figures themselves
    ///
    /// Both print the figures; the rows that begin with `|` are those of the table in docs/promises.md.
    @Suite(.timeLimit(.minutes(15)))
    struct Promises {}
}
