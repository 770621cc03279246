import Testing

@testable import Protocol

@Suite struct MessageWriterTests {
    @Test func buildsACallInTheOrderOfTheContract() {
        let line = self.call(
            42, method: "rag.execute", params: "{\"a\":1}", requestID: "r-1", traceparent: "00-x",
            deadline: 990)
        #expect(
            line == #"{"jsonrpc":"2.0","id":42,"method":"rag.execute","params":{"a":1},"#
                + #""metadata":{"request_id":"r-1","deadline_ms":990,"traceparent":"00-x"}}"# + "\n")
    }

    @Test func leavesAbsentPartsOut() {
        #expect(self.call(nil, method: "x") == "{\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n")
        #expect(
            self.call(1, method: "x", requestID: "r")
                == "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\",\"metadata\":{\"request_id\":\"r\"}}\n")
    }

    @Test func writesParamsOnOneLine() {
        let params = "{\r\n \"a\":\n[1,\r2 ],\"b\":\"\\n\" }"
        let line = self.call(1, method: "x", params: params)
        #expect(line.utf8.count { $0 == 0x0A } == 1)
        #expect(line.utf8.last == 0x0A)
        #expect(!line.utf8.contains(0x0D))
        #expect(
            scan(line)
                == .request(id: "1", method: "x", params: "{   \"a\": [1, 2 ],\"b\":\"\\n\" }", metadata: nil)
        )
    }

    @Test func isReadBackAsItWasWritten() {
        let line = self.call(
            .max, method: #"p\u0069ng"#, params: "[{\"id\":1}]", requestID: #"\u00e9\"# + "\"",
            traceparent: "t",
            deadline: 0)
        #expect(
            scan(line)
                == .request(
                    id: String(UInt64.max), method: #"p\u0069ng"#, params: "[{\"id\":1}]",
                    metadata: #"{"request_id":"\u00e9\"","deadline_ms":0,"traceparent":"t"}"#))
    }

    @Test(arguments: ["7", "-1.50e3", "null", "\"\"", #""\u00e9\"\\""#])
    func givesIDsBackByteForByte(id: String) {
        #expect(
            self.head(id, MessageWriter.appendResultHead) == "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"result\":")
        #expect(
            self.head(id, MessageWriter.appendErrorHead) == "{\"jsonrpc\":\"2.0\",\"id\":\(id),\"error\":")
    }

    @Test func writesNullForNoID() {
        #expect(self.head("", MessageWriter.appendErrorHead) == "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":")
    }

    private func head(_ id: String, _ write: (UnsafeRawBufferPointer, inout [UInt8]) -> Void) -> String {
        var output: [UInt8] = []
        Array(id.utf8).withUnsafeBytes { write($0, &output) }
        return String(decoding: output, as: UTF8.self)
    }

    private func call(
        _ call: UInt64?, method: String, params: String = "", requestID: String = "",
        traceparent: String = "",
        deadline: Int64? = nil
    ) -> String {
        var output: [UInt8] = []
        Array(method.utf8).withUnsafeBytes { method in
            Array(params.utf8).withUnsafeBytes { params in
                Array(requestID.utf8).withUnsafeBytes { requestID in
                    Array(traceparent.utf8).withUnsafeBytes { traceparent in
                        output.append(
                            CallMessage(
                                number: call, method: method, params: params, requestID: requestID,
                                traceparent: traceparent, deadlineMilliseconds: deadline))
                        output.append(0x0A)
                    }
                }
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
