import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// `supervisor check -- COMMAND`: what it says of good and of bad workers.
    @Suite(.timeLimit(.minutes(1)))
    struct Checking {
        private static let names = [
            "handshake", "ids", "unknown method", "notification", "concurrency", "cancel", "5 MiB message",
            "bad line", "stdout", "end of input",
        ]

        /// Verdict and detail of each row, by its name.
        private func check(_ command: [String], options: [String] = []) throws -> (
            rows: [String: (verdict: String, detail: String)], exitCode: Int32?
        ) {
            let run = try Command.run(
                [Programs.supervisor, "check"] + options + ["--"] + command, within: 40)
            var rows: [String: (verdict: String, detail: String)] = [:]
            for line in run.output.split(separator: "\n") {
                guard let name = Self.names.first(where: { line.hasPrefix("\($0) ") }) else { continue }
                let words = line.dropFirst(name.count).split(separator: " ", maxSplits: 1)
                rows[name] = (String(words[0]), words[1].trimmingPrefix(while: { $0 == " " }).description)
            }
            return (rows, run.exitCode)
        }

        private func fixture(_ arguments: [String], options: [String] = []) throws -> (
            rows: [String: (verdict: String, detail: String)], exitCode: Int32?
        ) {
            try self.check(try Programs.fixtureWorker(arguments, in: .swift), options: options)
        }

        @Test func passesOurOwnWorker() throws {
            let (rows, exitCode) = try self.check([Programs.worker])
            #expect(exitCode == 0)
            #expect(rows.keys.sorted() == Self.names.sorted())
            for (name, row) in rows { #expect(row.verdict == "pass", "\(name): \(row.detail)") }
        }

        @Test(.needsPython) func passesTheShippedExample() throws {
            let package = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
            let example = package.joined(separator: "/") + "/config/workers/echo_worker.py"
            let (rows, exitCode) = try self.check([Programs.python ?? "", example])
            #expect(exitCode == 0)
            // It honours no cancel, and says so.
            for (name, row) in rows {
                #expect(row.verdict == (name == "cancel" ? "warn" : "pass"), "\(name): \(row.detail)")
            }
        }

        @Test func warnsOfABannerAndSaysWhere() throws {
            let (rows, exitCode) = try self.fixture(["--banner", "2"])
            #expect(exitCode == 0)
            #expect(rows["stdout"]?.verdict == "warn")
            let detail = rows["stdout"]?.detail ?? ""
            #expect(detail.contains("2 stray lines, the first before the first answer"), "\(detail)")
            #expect(detail.contains("*** welcome to the fixture, line 0 ***"), "\(detail)")
            #expect(detail.contains("stderr"), "\(detail)")
        }

        @Test func failsAWorkerThatLivesOnWithoutInput() throws {
            let (rows, exitCode) = try self.fixture(["--ignore-end"])
            #expect(exitCode == 1)
            #expect(rows["end of input"]?.verdict == "fail")
            #expect(rows["end of input"]?.detail.contains("exit when a read returns nothing") == true)
        }

        @Test func failsAWorkerThatNeverGetsReady() throws {
            for (arguments, words) in [
                (["--never-ready", "--stderr", "no model"], ["said nothing in 300 ms", "no model"]),
                (["--unhealthy", "--stderr", "no model"], ["still unhealthy", "no model"]),
            ] {
                let (rows, exitCode) = try self.fixture(arguments, options: ["--timeout", "300ms"])
                #expect(exitCode == 1)
                #expect(rows["handshake"]?.verdict == "fail")
                for word in words {
                    #expect(
                        rows["handshake"]?.detail.contains(word) == true, "\(rows["handshake"]?.detail ?? "")"
                    )
                }
            }
        }

        @Test func waitsForAWorkerThatIsUnhealthyAtFirst() throws {
            let directory = try TestDirectory()
            let script = """
                count=0
                while read -r line; do
                    number=${line#*'"id":'}; number=${number%%,*}
                    count=$((count + 1))
                    if [ $count -gt 1 ]; then status=healthy; else status=unhealthy; fi
                    printf '{"jsonrpc":"2.0","id":%s,"result":{"status":"%s"}}\\n' "$number" "$status"
                done
                """
            let path = try directory.write(script, to: "worker.sh")
            let (rows, _) = try self.check(["/bin/sh", path], options: ["--timeout", "20s"])
            #expect(rows["handshake"]?.verdict == "pass", "\(rows)")
        }

        @Test func tellsAProgramThatOnlyRepeatsItsInput() throws {
            let (rows, exitCode) = try self.check(["cat"], options: ["--timeout", "300ms"])
            #expect(exitCode == 1)
            #expect(rows["handshake"]?.detail.contains("sends back requests") == true, "\(rows)")
        }

        @Test func saysHowAProgramEnded() throws {
            let (rows, exitCode) = try self.check(["/bin/sh", "-c", "echo hello; echo no room >&2; exit 3"])
            #expect(exitCode == 1)
            #expect(rows["handshake"]?.detail.contains("no room") == true)
            #expect(rows["stdout"]?.detail.contains("hello") == true)
            #expect(rows["end of input"]?.detail.contains("code 3") == true)
            let missing = try Command.run([Programs.supervisor, "check", "--", "no-such-program-7"])
            #expect(missing.exitCode == 1 && missing.errors.contains("no-such-program-7"))
        }
    }
}
