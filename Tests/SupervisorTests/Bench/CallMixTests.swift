import Protocol
import Testing

@testable import Supervisor

@Suite struct CallMixTests {
    private func lines(_ mix: inout CallMix, _ count: Int) throws -> [JSONValue] {
        var output: [UInt8] = []
        for index in 0..<count { mix.appendNext(id: 100_000_000_000_000 + UInt64(index), to: &output) }
        return try output.split(separator: 0x0A).map { try JSONValue(parsing: Array($0)) }
    }

    @Test func aCallIsOneLineWithItsIdAndItsNumber() {
        let template = CallTemplate(
            method: "a\"b", params: "{\"q\":\n\"$N and $N\"}", metadata: "{\"cache\":\"bypass\"}")
        var output: [UInt8] = []
        template.append(id: 123_456_789_012_345, number: 42, to: &output)
        let text = String(decoding: output, as: UTF8.self)
        #expect(
            text == #"{"jsonrpc":"2.0","id":123456789012345,"method":"a\"b","#
                + #""params":{"q": "000000000042 and 000000000042"},"metadata":{"cache":"bypass"}}"# + "\n")
        #expect(template.isVaried)
        #expect(!CallTemplate(method: "ping").isVaried)
    }

    @Test func methodsComeByTheirWeight() throws {
        var mix = CallMix(
            [(CallTemplate(method: "often"), 9), (CallTemplate(method: "rarely"), 1)], seed: 1)
        let methods = try self.lines(&mix, 10_000).compactMap { $0["method"]?.stringValue }
        let often = methods.count { $0 == "often" }
        #expect((8_800...9_200).contains(often), "\(often)")
        #expect(methods.count { $0 == "rarely" } == 10_000 - often)
    }

    @Test(arguments: [0.0, 0.5, 0.9, 1.0])
    func soManyCallsRepeatAnEarlierQuestion(share: Double) throws {
        let template = CallTemplate(method: "m", params: #"{"n":"$N"}"#)
        var mix = CallMix([(template, 1)], repeats: share, seed: 2)
        let questions = try self.lines(&mix, 10_000).compactMap { $0["params"]?["n"]?.stringValue }
        let repeated = 1 - Double(Set(questions).count) / 10_000
        #expect(abs(repeated - share) < 0.02, "\(repeated)")
    }

    @Test func anotherRunAsksOtherQuestions() throws {
        let template = CallTemplate(method: "m", params: #"{"n":"$N"}"#)
        var first = CallMix([(template, 1)], seed: 3)
        var second = CallMix([(template, 1)], seed: 4)
        let asked = Set(try self.lines(&first, 100).map(\.text))
        #expect(asked.isDisjoint(with: try self.lines(&second, 100).map(\.text)))
    }

    @Test(arguments: [
        (#"{"jsonrpc":"2.0","id":100000000000007,"result":null}"#, LoadAnswer.result(100_000_000_000_007)),
        (#"{"jsonrpc":"2.0","id":100000000000007,"result":{},"metadata":{}}"#, .result(100_000_000_000_007)),
        (#" {"result":1,"id":100000000000007,"jsonrpc":"2.0"}"#, .result(100_000_000_000_007)),
        (#"{"jsonrpc":"2.0","id":12,"error":{"code":1}}"#, .error(12, 33..<43)),
        (#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#, .other),
        (#"{"jsonrpc":"2.0","method":"stream_chunk","params":{}}"#, .other),
        (#"{"jsonrpc":"2.0","id":"10000000000000","result":null}"#, .other),
        (#"{"jsonrpc":"2.0","id":1000000"#, .other), ("nonsense", .other),
    ])
    func answersAreRecognised(line: String, answer: LoadAnswer) {
        #expect(Array(line.utf8).withUnsafeBytes { LoadAnswer.scan($0) } == answer)
    }
}
