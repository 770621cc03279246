import Glibc
import Testing

@testable import Protocol

@Suite struct EmbeddingMessagesTests {
    private static func number(_ text: String) -> Float? {
        Array(text.utf8).withUnsafeBytes(Float32Text.parse)
    }

    @Test(arguments: [
        "0", "-0", "1", "-1", "0.1", "1e-05", "1E+10", "3.4028235e38", "-3.4028235e38", "1e-45",
        "1.1754944e-38",
        "0.30000001192092896", "16777217", "16777219", "9007199254740993", "0.000000000000000000000000000001",
        "1.00000005960464477539062500000000001", "1.00000005960464477539062500", "8589973000", "7.038531e-26",
        "123456789012345678901234567890", "0e99999", "0.1e-2", "1e-400",
    ]) func readsWhatTheCLibraryReads(text: String) {
        #expect(Self.number(text)?.bitPattern == strtof(text, nil).bitPattern, "\(text)")
    }

    @Test func readsAndWritesEveryNumberExactly() {
        var random = SystemRandomNumberGenerator()
        for _ in 0..<50_000 {
            let number = Float(bitPattern: UInt32.random(in: 0...UInt32.max, using: &random))
            guard number.isFinite else { continue }
            var text: [UInt8] = []
            Float32Text.append(number, to: &text)
            #expect(text.withUnsafeBytes(Float32Text.parse)?.bitPattern == number.bitPattern)
            let long = String(Double(number))
            #expect(Self.number(long)?.bitPattern == number.bitPattern, "\(long)")
            let near = "\(Double(number) * (1 + 1e-9))"
            #expect(Self.number(near)?.bitPattern == strtof(near, nil).bitPattern, "\(near)")
        }
    }

    @Test(arguments: ["1e39", "-3.5e38", "1e99999999"]) func hasNoInfinity(text: String) {
        #expect(Self.number(text) == nil)
    }

    private static func refusal(_ params: String) -> String? {
        Array(params.utf8).withUnsafeBytes { bytes in
            do throws(RPCError) {
                _ = try EmbeddingQuestion(params: bytes)
                return nil
            } catch {
                return error.message
            }
        }
    }

    @Test(arguments: [
        (#"[]"#, "expected {input: string or [string], model?: string}"),
        (#"{}"#, "input: expected a string, or an array of 1 to 10000 strings"),
        (#"{"input":[]}"#, "input: expected a string, or an array of 1 to 10000 strings, found none"),
        (#"{"input":7}"#, "input: expected a string, or an array of 1 to 10000 strings"),
        (#"{"input":["a",7]}"#, "input[1]: expected a string, found 7"),
        (#"{"input":["a",null]}"#, "input[1]: expected a string, found null"),
        (#"{"input":"\ud800"}"#, "input: expected Unicode text, found a surrogate without its other half"),
        (#"{"input":"a","input":"b"}"#, "input: expected one, found two"),
        (#"{"input":"a","model":3}"#, "model: expected a string, found 3"),
        (#"{"input":"a","modle":"m"}"#, "modle: unknown member; did you mean model?"),
    ]) func questionsAreRefusedWithTheirPath(params: String, message: String) {
        #expect(Self.refusal(params) == "Invalid params: \(message)")
    }

    @Test(arguments: [#"{"input":"a"}"#, #"{ "model" : null, "input" : [ "a" , "b" ] }"#, #"{"input":[""]}"#])
    func questionsAreAccepted(params: String) { #expect(Self.refusal(params) == nil) }

    @Test func questionsOfTenThousandTextsAreAcceptedAndNoMore() {
        func params(_ count: Int) -> String {
            #"{"input":[\#(Array(repeating: #""t""#, count: count).joined(separator: ","))]}"#
        }
        #expect(Self.refusal(params(10_000)) == nil)
        #expect(
            Self.refusal(params(10_001))
                == "Invalid params: input[10000]: expected at most 10000 texts in one call")
    }

    @Test(arguments: [
        (#"[]"#, "expected an object"), (#"{}"#, "expected an array \"embeddings\""),
        (#"{"embeddings":[[1]]}"#, "expected 2 embeddings, found 1"),
        (#"{"embeddings":[[1],[1],[1]]}"#, "expected 2 embeddings, found 3"),
        (#"{"embeddings":[[1],null]}"#, "embeddings[1]: expected an array of numbers"),
        (#"{"embeddings":[[1,2],[1]]}"#, "embeddings[1]: expected 2 numbers, found 1"),
        (#"{"embeddings":[[],[]]}"#, "embeddings[0]: expected at least one number, found 0"),
        (
            #"{"embeddings":[[1,"2"],[1,2]]}"#,
            "embeddings[0][1]: expected a number that a 32-bit float can hold, found \"2\""
        ),
        (
            #"{"embeddings":[[1],[1e39]]}"#,
            "embeddings[1][0]: expected a number that a 32-bit float can hold, found 1e39"
        ),
    ]) func answersThatAreNoEmbeddingsSayWhy(result: String, words: String) {
        _ = Array(result.utf8).withUnsafeBytes { bytes in
            #expect(throws: EmbeddingReply.Fault(words: words)) { _ = try EmbeddingReply(bytes, count: 2) }
        }
    }

    @Test func answersAreRead() throws {
        let result = Array(
            #" {"model":"\u006d","embeddings":[[1,-2.5],[ 3e0 , 0.1 ]],"usage":{"n":[1]}}"#.utf8)
        try result.withUnsafeBytes { bytes in
            let reply = try EmbeddingReply(UnsafeRawBufferPointer(rebasing: bytes[1...]), count: 2)
            #expect(reply.model == Array("m".utf8) && reply.dimensions == 2)
            #expect(reply.numbers == [1, -2.5, 3, 0.1])
        }
    }
}
