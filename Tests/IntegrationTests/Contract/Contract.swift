import Glibc
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The contract (docs/protocol.md), section by section: what is shown nowhere else, or only without a real process
    /// and a real socket. The names of the tests quote the clauses.
    @Suite("The contract") struct Contract {}
}

/// One supervisor for all tests of a suite: they ask much and change nothing that the next of them would notice.
struct SharedSupervisor: SuiteTrait, TestScoping {
    /// Unchecked: the suites of `IntegrationTests` are serialized, so that one test at a time uses what it holds.
    private final class Holder: @unchecked Sendable {
        let supervisor: SupervisorProcess

        init(_ supervisor: SupervisorProcess) { self.supervisor = supervisor }
    }

    @TaskLocal private static var holder: Holder?

    fileprivate let start: @Sendable () throws -> SupervisorProcess

    /// The supervisor of the suite that runs.
    static var current: SupervisorProcess {
        get throws {
            guard let holder else { throw Failure("the suite shares no supervisor") }
            return holder.supervisor
        }
    }

    func provideScope(
        for test: Test, testCase: Test.Case?,
        performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await Self.$holder.withValue(Holder(try self.start()), operation: function)
    }
}

extension Trait where Self == SharedSupervisor {
    static func sharing(_ start: @escaping @Sendable () throws -> SupervisorProcess) -> Self {
        Self(start: start)
    }
}

extension SupervisorProcess {
    /// Two of our own workers, with an index of the corpus.
    static func overCorpus() throws -> SupervisorProcess {
        let directory = try TestDirectory()
        try Corpus.index(in: directory)
        return try SupervisorProcess(
            workers: 2, worker: [Programs.worker, "serve", "--index", "DIR/index"],
            pool: "env: { KEY: \"k-secret\" }", in: directory)
    }

    /// On a socket that every user may connect to.
    static func forEverybody() throws -> SupervisorProcess {
        let directory = try TestDirectory()
        chmod(directory.path, 0o755)
        return try SupervisorProcess(
            fixture: ["--concurrency", "4", "--stderr", "a worker wrote this"], language: .swift,
            settings: "socket: { mode: \"0666\" }", in: directory)
    }
}

/// A few documents, and a question that they answer.
enum Corpus {
    static let question = #"{"technique":"bm25","query":"red fox"}"#

    /// Makes `index` of `docs` in the directory, with paths as they are given there.
    static func index(in directory: TestDirectory) throws {
        try directory.write("# Foxes\n\nThe red fox jumps over the brook. A dog sleeps.\n", to: "docs/a.md")
        try directory.write("A fox that is red lives in the wood.\n", to: "docs/sub/b.txt")
        try directory.write(
            "<html><title>Hounds</title><body><p>The fox &amp; the hound.</p></body></html>",
            to: "docs/c.html")
        try directory.write(#"[{"id":"x1","text":"A year of foxes.","year":1999}]"#, to: "docs/d.json")
        let made = try Command.run(
            [Programs.worker, "index", "--out", "index", "docs"], directory: directory.path)
        guard made.exitCode == 0 else { throw Failure(made.errors) }
    }
}
