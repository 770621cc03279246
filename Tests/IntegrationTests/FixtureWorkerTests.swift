import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests {
    /// The fixture worker is written twice: both do what Fixtures/README.md says.
    @Suite(.timeLimit(.minutes(1)))
    struct FixtureWorkers {
        /// "flag --banner" and "method echo", one for each row of the page's tables.
        private static let documented: [String] = {
            let page = Programs.fixture.split(separator: "/", omittingEmptySubsequences: false).dropLast()
            return Files.lines(page.joined(separator: "/") + "/README.md").compactMap { line in
                guard line.hasPrefix("| `"),
                    let name = line.dropFirst(3).split(whereSeparator: { "` ".contains($0) }).first
                else { return nil }
                return name.hasPrefix("--") ? "flag \(name)" : "method \(name)"
            }
        }()

        @Test(arguments: FixtureLanguage.available)
        func doesWhatThePageLists(language: FixtureLanguage) throws {
            let run = try Command.run(try Programs.fixtureWorker(["--modes"], in: language))
            let modes = run.output.split(separator: "\n").map(String.init)
            #expect(modes.sorted() == Self.documented.sorted())
            #expect(modes.count > 30)
        }

        /// Calls whose answers say that the method does what the page says, and what that is.
        private static let calls: [(method: String, params: String, answer: String)] = [
            ("echo", #"{"a":[1]}"#, #"{"result":{"a":[1]}}"#),
            ("rag.execute", #"{"action":"echo"}"#, #"{"result":{"action":"echo"}}"#),
            ("any.name", #"[1]"#, #"{"result":[1]}"#),
            ("sleep", #"{"ms":1}"#, #"{"result":{"ms":1}}"#),
            ("raw", #"{"text":"[1.50]"}"#, #"{"result":[1.5]}"#),
            ("fail", #"{"text":"{\"code\":7,\"message\":\"m\"}"}"#, #"{"error":{"code":7,"message":"m"}}"#),
            ("big", #"{"bytes":3}"#, #"{"result":"xxx"}"#),
            ("chatter", #"{"bytes":2048}"#, #"{"result":"said"}"#),
            ("noise", #"{"lines":2}"#, #"{"result":"noisy"}"#),
            ("spill", #"{"hex":"7b","count":3}"#, #"{"result":"spilt"}"#),
            ("twice", #"[2]"#, #"{"result":[2]}"#),
            ("foreign", #"[3]"#, #"{"result":[3]}"#),
            ("hold", #"{"count":1}"#, #"{"result":{"count":1}}"#),
            ("stop_reading", #"{"ms":1}"#, #"{"result":"deaf"}"#),
            ("nothing", #"[]"#, #"{"error":{"code":-32601,"message":"Method not found: nothing"}}"#),
        ]

        @Test(arguments: FixtureLanguage.available)
        func answersAlike(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(language: language)
            let client = try supervisor.client()
            for call in Self.calls {
                let answer = try client.call(call.method, call.params)
                let members = (answer.objectValue ?? []).filter { ["result", "error"].contains($0.name) }
                let wanted = try JSONValue(parsing: call.answer)
                #expect(
                    JSONValue.object(members) == wanted, Comment(rawValue: "\(call.method): \(answer.text)"))
            }
            // Noise: two lines from noise, one from spill. Replies to nobody: two from foreign, one from twice.
            let worker = try supervisor.worker()
            #expect(worker["noise_lines"] == 3)
            #expect(worker["late_replies"] == 3)
        }

        @Test(arguments: FixtureLanguage.available)
        func obeysItsOrders(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(fixture: ["--orders", "DIR/orders"], language: language)
            let client = try supervisor.client()
            #expect(try client.call("echo", "[1]")["result"] == [1])
            try supervisor.directory.write("fail\n", to: "orders")
            #expect(try client.call("echo", "[1]").errorCode == -32603)
            try supervisor.directory.write("delay 150\n", to: "orders")
            let watch = Stopwatch()
            #expect(try client.call("echo", "[1]")["result"] == [1])
            #expect(watch.seconds > 0.149)
        }
    }
}
