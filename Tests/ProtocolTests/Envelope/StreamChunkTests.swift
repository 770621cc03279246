import Testing

@testable import Protocol

@Suite struct StreamChunkTests {
    private static func read(_ params: String) -> StreamChunk.Reading {
        Array(params.utf8).withUnsafeBytes { StreamChunk.read($0) }
    }

    @Test(arguments: [
        (
            #"{"request_id":4194305,"chunk_type":"partial_answer","data":"x"}"#,
            StreamChunk.Kind.partialAnswer, "\"x\"", false
        ),
        (
            #"{"data" : {"a":[1]} ,"is_final":true,"chunk_type":"metadata","request_id":"4194305"}"#,
            .metadata, #"{"a":[1]}"#, true
        ),
        (
            #"{"sequence":9,"chunk_type":"document","request_id":4194305,"data":null,"is_final":false,"more":1}"#,
            .document, "null", false
        ),
        (#"{"request_id":4194305,"data":1,"data":2,"chunk_type":"document"}"#, .document, "1", false),
    ])
    func isReadInAnyOrder(params: String, kind: StreamChunk.Kind, data: String, isFinal: Bool) throws {
        guard case .chunk(let chunk) = Self.read(params) else {
            Issue.record("\(Self.read(params))")
            return
        }
        #expect(chunk.call == 4_194_305 && chunk.kind == kind && chunk.isFinal == isFinal)
        #expect(String(decoding: Array(params.utf8)[chunk.data], as: UTF8.self) == data)
    }

    @Test(arguments: [
        ("[]", "params"), ("{}", "request_id"),
        (#"{"request_id":null,"chunk_type":"document","data":1}"#, "request_id"),
        (#"{"request_id":"","chunk_type":"document","data":1}"#, "request_id"),
        (#"{"request_id":-1,"chunk_type":"document","data":1}"#, "request_id"),
        (#"{"request_id":12345678901234567,"chunk_type":"document","data":1}"#, "request_id"),
        (#"{"request_id":1,"data":1}"#, "chunk_type"),
        (#"{"request_id":1,"chunk_type":"Document","data":1}"#, "chunk_type"),
        (#"{"request_id":1,"chunk_type":"document"}"#, "data"),
        (#"{"request_id":1,"chunk_type":"document","data":1,"is_final":1}"#, "is_final"),
    ])
    func isRefusedWithThePathOfWhatIsWrong(params: String, path: String) {
        guard case .refused(let fault) = Self.read(params) else {
            Issue.record("\(params) was read")
            return
        }
        #expect(fault.hasPrefix("\(path): expected "))
    }

    @Test func isRefusedWithoutParams() {
        #expect(StreamChunk.read(nil) == .refused("params: expected an object"))
    }

    @Test func isWrittenOnOneLine() throws {
        var output: [UInt8] = []
        let (name, data) = (Array("a\\\"b".utf8), Array("[1,\r2]".utf8))
        name.withUnsafeBytes { name in
            data.withUnsafeBytes { data in
                output.append(
                    ChunkMessage(
                        requestID: name, sequence: 12, .partialAnswer, data: data, isFinal: true))
            }
        }
        #expect(
            String(decoding: output, as: UTF8.self)
                == #"{"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":"a\"b","sequence":12,"#
                + #""chunk_type":"partial_answer","data":[1, 2],"is_final":true}}"#)
    }
}
