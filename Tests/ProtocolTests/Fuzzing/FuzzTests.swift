import Glibc
import Testing

@testable import Protocol

/// Random mutations of messages against the invariants of the protocol.
///
///     FUZZ_ITERATIONS=1000000 swift test -c release --filter FuzzTests     a longer run
///     FUZZ_SEED=42 swift test --filter FuzzTests                           another one, or a failed one again
@Suite struct FuzzTests {
    static let seed = number("FUZZ_SEED") ?? 20_260_131
    static let iterations = Int(number("FUZZ_ITERATIONS") ?? 4000)

    static let messages = [
        #"{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"bm25","query":"q"},"metadata":{}}"#,
        #"{"jsonrpc":"2.0","id":"a\u00e9","method":"p\u0069ng","params":[1,2.5e3,"x",null,true,{}],"metadata":"#
            + #"{"request_id":"r","priority":"high","timeout_ms":250,"cache":"use","traceparent":"00-1"}}"#,
        #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":1}}"#,
        #"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"},5,[]]"#,
        #"{"\u006asonrpc":"2.0", "i\u0064" : null , "method":"m", "params" : { "a" : [ [ ] ] } }"#,
        #"{"jsonrpc":"2.0","id":42,"result":{"success":true,"answer":"é€😀","documents":[{"id":"d"}]}}"#,
        #"{"jsonrpc":"2.0","id":43,"error":{"code":-32601,"message":"no","data":null}}"#,
        #"{"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":44,"data":{"text":"x"}}}"#,
        "Content-Length: 46\r\nContent-Type: x\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}     ",
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n",
        "{// JSON5\npools: [{name: 'a', min_workers: 0x2, env: {A: \"\\x41\\\n\"}, jitter: .5,},], t: +Infinity}",
        "{\"params\":" + nested(63) + ",\"id\":5,\"jsonrpc\":\"2.0\",\"method\":\"deep\"}",
        "{\"params\":" + nested(64) + ",\"id\":5,\"jsonrpc\":\"2.0\",\"method\":\"deep\"}",
    ]

    @Test func keepsEveryInvariant() {
        let corpus =
            Self.messages.map { Array($0.utf8) }
            + JSONTestSuiteTests.files.map(\.bytes).filter { $0.count <= 4096 }
        var mutator = Mutator(corpus: corpus, seed: Self.seed)
        print("FUZZ_SEED=\(Self.seed) FUZZ_ITERATIONS=\(Self.iterations), corpus of \(corpus.count)")
        for iteration in 0..<Self.iterations {
            let bytes = mutator.next()
            guard let broken = ProtocolInvariants.firstBroken(by: bytes, seed: mutator.seed()) else {
                continue
            }
            Issue.record(
                """
                \(broken)
                replay: FUZZ_SEED=\(Self.seed) FUZZ_ITERATIONS=\(iteration + 1) swift test --filter FuzzTests
                input: \(bytes.withUnsafeBytes { Excerpt.escaped($0, limit: 4096) })
                """)
            return
        }
    }

    private static func number(_ name: String) -> UInt64? {
        getenv(name).flatMap { UInt64(String(cString: $0)) }
    }
}
