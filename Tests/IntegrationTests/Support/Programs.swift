import Foundation
import Glibc
import Testing

@testable import Supervisor

/// The programs under test and those that the tests need.
enum Programs {
    /// Where the test bundle stands, and the products beside it: true for every configuration and scratch path.
    static let directory = CommandLine.arguments[0].split(separator: "/", omittingEmptySubsequences: false)
        .dropLast().joined(separator: "/")
    static let supervisor: String = "\(directory)/supervisor"
    static let worker: String = "\(directory)/worker"

    static let fixtureProgram: String = "\(directory)/FixtureWorker"

    static let areBuilt = [supervisor, worker, fixtureProgram].allSatisfy { (path: String) in
        access(path, X_OK) == 0
    }
    static let buildHint: Comment =
        "run `swift build` first: supervisor, worker and FixtureWorker must stand beside the tests"

    /// The interpreter itself: the one in PATH may be a script that only finds it, slowly.
    static let python: String? = {
        let result = try? Command.run(["python3", "-c", "import sys; print(sys.executable)"])
        guard let result, result.status == .exited(code: 0) else { return nil }
        return result.output.trimmingCharacters(in: .whitespacesAndNewlines)
    }()

    static let fixture =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
        + "/Fixtures/fixture_worker.py"

    /// The command of a worker that behaves as the arguments say.
    static func fixtureWorker(_ arguments: [String] = [], in language: FixtureLanguage = .python) throws
        -> [String]
    {
        switch language {
        case .swift: return [self.fixtureProgram] + arguments
        case .python:
            guard let python else { throw Failure("python3 is missing") }
            return [python, "-S", "-E", self.fixture] + arguments
        }
    }

    /// Test data that is not part of the repository: a directory beside it.
    static func sharedData(_ name: String) -> String? {
        let package =
            #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(4)
            .joined(separator: "/")
        return ["\(package)/../shared/data/\(name)", "../shared/data/\(name)"]
            .first { access($0, R_OK) == 0 }
    }
}

/// What the fixture worker is written in: both do the same (Fixtures/README.md).
enum FixtureLanguage: String, CaseIterable, CustomTestStringConvertible {
    case swift = "Swift"
    case python = "Python"

    /// Those that this machine can run.
    static var available: [Self] { Programs.python == nil ? [.swift] : [.swift, .python] }

    var testDescription: String { self.rawValue }
}

/// Why a test cannot go on.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Waits until something is so.
///
/// - Throws: when it is not so in time.
func eventually(within seconds: Double = 10, _ what: String, _ isSo: () throws -> Bool) throws {
    let deadline = Stopwatch()
    while try !isSo() {
        guard deadline.seconds < seconds else { throw Failure("not within \(seconds) s: \(what)") }
        usleep(5000)
    }
}

/// Measures time on the monotonic clock.
struct Stopwatch {
    private let start = ContinuousClock.now
    var seconds: Double {
        let parts = self.start.duration(to: .now).components
        return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
    }
    var milliseconds: Double { self.seconds * 1000 }
}
