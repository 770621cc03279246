import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// RLIMIT_NPROC, which does not bind root: the supervisor runs as a user that nobody else is.
    @Suite(
        .timeLimit(.minutes(1)),
        .enabled(if: getuid() == 0, "only root can become another user"),
        .enabled(
            if: access("/usr/bin/setpriv", X_OK) == 0 && access("/usr/bin/prlimit", X_OK) == 0,
            "setpriv and prlimit are missing: install util-linux"))
    struct ProcessLimit {
        /// A user of this test run's own: the limit counts all processes of a user.
        private static let user = 1_000_000 + Int(getpid())

        private static func command(_ program: [String], limit: String, as user: Int) -> [String] {
            let ids = ["--reuid", "\(user)", "--regid", "\(user)", "--clear-groups"]
            return ["/usr/bin/setpriv"] + ids + ["/usr/bin/prlimit", "--nproc=\(limit)"] + program
        }

        private static func serve(
            _ directory: TestDirectory, limit: String, as user: Int = user, _ arguments: [String]
        ) throws -> ChildProcess {
            chmod(directory.path, 0o777)
            return try ChildProcess(
                self.command(
                    [Programs.supervisor, "serve", "--socket", directory.file("s")] + arguments,
                    limit: limit, as: user))
        }

        @Test func refusesALimitThatCannotHoldItsWorkersWithTheArithmetic() throws {
            let directory = try TestDirectory()
            let process = try Self.serve(directory, limit: "3:7", ["--workers", "6", "--", "cat"])
            #expect(try process.exit() == .exited(code: 2))
            #expect(
                process.errors.contains("6 workers, the supervisor and its guardian are 8 processes"),
                Comment(rawValue: process.errors))
            #expect(process.errors.contains("is 7: raise it (ulimit -u), or lower max_workers"))
            #expect(!Files.exists(directory.file("s")))
        }

        @Test func raisesTheSoftLimitForItselfAndGivesWorkersTheOriginal() throws {
            let directory = try TestDirectory()
            let process = try Self.serve(
                directory, limit: "3:40", ["--workers", "6", "--", "sleep", "60"])
            var workers: [Int32] = []
            try eventually("all six are started; it said \(process.errors)") {
                workers = Processes.children(of: process.pid).filter { Processes.name($0) == "sleep" }
                return workers.count == 6
            }
            #expect(Processes.limits(of: process.pid, "Max processes") == ["40", "40"])
            for worker in workers { #expect(Processes.limits(of: worker, "Max processes") == ["3", "40"]) }
            #expect(!process.errors.contains("limits.processes_low"))
        }

        @Test func warnsWhenTheUsersOtherProcessesLeaveTooLittle() throws {
            let directory = try TestDirectory()
            let user = Self.user + 1
            let others = try ChildProcess(
                Self.command(
                    ["/bin/sh", "-c", "for i in 1 2 3 4 5 6; do sleep 60 & done; wait"], limit: "100",
                    as: user))
            try eventually("they run") { ProcessTable.threads(ofUser: UInt32(user)) == 7 }
            let process = try Self.serve(
                directory, limit: "10", as: user, ["--workers", "2", "--", "sleep", "60"])
            try eventually("it says that it listens") { process.errors.contains("supervisor.listening") }
            let warning = process.errors.split(separator: "\n").first { $0.contains("limits.processes_low") }
            let record = try JSONValue(parsing: String(try #require(warning)))
            #expect(record["limit"] == 10 && record["needed"] == 4 && record["others_of_this_user"] == 7)
            #expect(others.isRunning)
        }

        @Test func doesNotBindRoot() throws {
            let directory = try TestDirectory()
            let process = try Self.serve(
                directory, limit: "3", as: 0, ["--workers", "6", "--"] + Programs.fixtureWorker(in: .swift))
            try eventually("it serves; it said \(process.errors)") {
                guard let client = try? Client(directory.file("s")) else { return false }
                return try client.call("supervisor.status")[path: "result.status"] == "healthy"
            }
        }
    }
}
