import Protocol
import Testing

@testable import Worker

@Suite struct VectorTextTests {
    @Test(
        arguments: [
            ([1, -2], "AACAPwAAAMA="), ([0], "AAAAAA=="),
            ([0.1, 3.4028235e38, -.leastNonzeroMagnitude], "zczMPf//f38BAACA"),
        ] as [([Float], String)])
    func isLittleEndianBase64(vector: [Float], text: String) {
        #expect(FakeSupervisor.text(of: vector) == text)
        #expect(VectorText.vector(text) == vector)
        #expect(VectorText.length(dimensions: vector.count) == text.utf8.count)
    }

    @Test(arguments: [
        "", "AAAA", "AAAAAA", "AAAAAA=", "AAAAAAA=", "AAAAAB==", "=AAAAA==", "AAAA AA==", "AAAAAA==\n",
        "AAA-AA==",
        "AADAfw==", "AACAfw==", "AACA/w==", "é",
    ])
    func refusesWhatIsNoBase64OrNoFiniteNumbers(text: String) {
        #expect(VectorText.vector(text) == nil)
    }
}

@Suite struct SupervisorCallsTests {
    @Test func matchesAnswersToQuestionsInAnyOrder() async throws {
        let first = Signal()
        // The first question is answered after the second.
        let supervisor = try FakeSupervisor { _ in nil }
        let calls = supervisor.calls
        async let one = onOwnThread { calls.ask("a", params: Array("{}".utf8), milliseconds: 60_000) }
        startOwnThread {
            while FakeSupervisor.deliver(#"{"jsonrpc":"2.0","id":"w2","result":2}"#, to: calls) {
                FakeSupervisor.deliver(#"{"jsonrpc":"2.0","id":"w1","result":1}"#, to: calls)
                if first.wait(milliseconds: 1) { return }
            }
        }
        async let two = onOwnThread { calls.ask("a", params: Array("{}".utf8), milliseconds: 60_000) }
        #expect(await Set([one, two].map { "\($0)" }).count == 2)
        first.raise()
        let heard = await supervisor.finish()
        #expect(heard.map { $0["id"] } == ["w1", "w2"])
        #expect(
            heard.allSatisfy { $0["jsonrpc"] == "2.0" && $0["method"] == "a" && $0["params"] == .object([]) })
    }

    @Test func goesOnWithoutAnAnswerAndIgnoresALateOne() throws {
        let calls = try FakeSupervisor { _ in nil }.calls
        #expect(calls.ask("a", params: Array("{}".utf8), milliseconds: 1) == .none)
        #expect(FakeSupervisor.deliver(#"{"jsonrpc":"2.0","id":"w1","result":1}"#, to: calls))
        #expect(FakeSupervisor.deliver(#"{"jsonrpc":"2.0","id":"w1","result":1}"#, to: calls))
    }

    @Test(arguments: [
        (#""result":{"a":[1]}"#, SupervisorCalls.Answer.result(["a": [1]])),
        (#""result":null"#, .result(.null)),
        (#""error":{"code":-32601,"message":"Method not found"}"#, .error(code: -32601)),
        (#""result":1,"error":{"code":1}"#, .error(code: 1)), (#""error":7"#, .none), (#""x":1"#, .none),
    ])
    func readsEveryKindOfAnswer(rest: String, answer: SupervisorCalls.Answer) async throws {
        let calls = try FakeSupervisor { _ in rest }.calls
        #expect(
            await onOwnThread { calls.ask("a", params: Array("{}".utf8), milliseconds: 60_000) } == answer)
    }

    @Test(arguments: [#""x1""#, #""w""#, #""w1x""#, "1", "null", #""w-1""#, #""W1""#])
    func leavesOtherIDsAlone(id: String) throws {
        let calls = try FakeSupervisor { _ in nil }.calls
        #expect(!FakeSupervisor.deliver(#"{"jsonrpc":"2.0","id":\#(id),"result":1}"#, to: calls))
    }
}
