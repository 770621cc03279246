import Protocol
import Testing

@Suite struct RequestMetadataTests {
    @Test func hasDefaults() throws {
        let metadata = try self.read("{}")
        #expect(metadata == RequestMetadata())
        #expect(metadata.priority == .normal)
        #expect(metadata.cache == .use)
        #expect(metadata.cacheScope == .shared)
    }

    @Test func readsEveryMember() throws {
        let text =
            #"{"request_id":"r-1","timestamp":"2026-01-31T12:00:00Z","priority":"high","timeout_ms":250,"#
            + #""cache":"refresh","cache_scope":"private","traceparent":"00-abc","other":[1]}"#
        let metadata = try self.read(text)
        #expect(metadata.requestID.map { self.slice(text, $0) } == "r-1")
        #expect(metadata.traceparent.map { self.slice(text, $0) } == "00-abc")
        #expect(metadata.priority == .high)
        #expect(metadata.timeoutMilliseconds == 250)
        #expect(metadata.cache == .refresh)
        #expect(metadata.cacheScope == .private)
    }

    @Test func comparesNamesAndWordsAfterUnescaping() throws {
        let metadata = try self.read(#"{"pri\u006frity":"\u006cow","c\u0061che":"byp\u0061ss"}"#)
        #expect(metadata.priority == .low)
        #expect(metadata.cache == .bypass)
    }

    @Test(arguments: [
        ("[]", "metadata"), ("null", "metadata"), ("\"x\"", "metadata"), ("5", "metadata"),
        (#"{"request_id":5}"#, "metadata.request_id"), (#"{"request_id":""}"#, "metadata.request_id"),
        (#"{"request_id":null}"#, "metadata.request_id"), (#"{"request_id":"a\nb"}"#, "metadata.request_id"),
        (#"{"request_id":"\u001b[31m"}"#, "metadata.request_id"),
        ("{\"request_id\":\"a\u{7F}\"}", "metadata.request_id"),
        ("{\"request_id\":\"a\u{202E}\"}", "metadata.request_id"),
        (#"{"traceparent":[]}"#, "metadata.traceparent"),
        (#"{"priority":"urgent"}"#, "metadata.priority"), (#"{"priority":"High"}"#, "metadata.priority"),
        (#"{"priority":1}"#, "metadata.priority"), (#"{"cache":true}"#, "metadata.cache"),
        (#"{"cache":""}"#, "metadata.cache"), (#"{"cache_scope":"public"}"#, "metadata.cache_scope"),
        (#"{"timeout_ms":0}"#, "metadata.timeout_ms"), (#"{"timeout_ms":-5}"#, "metadata.timeout_ms"),
        (#"{"timeout_ms":1.5}"#, "metadata.timeout_ms"), (#"{"timeout_ms":"5s"}"#, "metadata.timeout_ms"),
        (#"{"timeout_ms":null}"#, "metadata.timeout_ms"), (#"{"timeout_ms":1e999}"#, "metadata.timeout_ms"),
        (#"{"timestamp":"yesterday"}"#, "metadata.timestamp"), (#"{"timestamp":5}"#, "metadata.timestamp"),
        (#"{"timestamp":"2026-02-29T12:00:00Z"}"#, "metadata.timestamp"),
    ])
    func refusesAnotherTypeOrWordWithItsPath(text: String, path: String) {
        #expect {
            try self.read(text)
        } throws: { error in
            guard let error = error as? RPCError else { return false }
            return error.code == .invalidParams
                && error.message.hasPrefix("Invalid params: \(path): expected")
                && error.details == [.init("path", .string(path))]
        }
    }

    @Test(arguments: ["1", "1.0", "1e0", "60000", "9223372036854775807", "99999999999999999999", "1e30"])
    func takesEveryWholeTimeoutAndKeepsItSmallEnoughForNanoseconds(number: String) throws {
        let timeout = try #require(try self.read("{\"timeout_ms\":\(number)}").timeoutMilliseconds)
        #expect(timeout >= 1)
        #expect(!timeout.multipliedReportingOverflow(by: 1_000_000).overflow)
    }

    @Test func limitsTextsInCharacters() throws {
        for (character, escaped) in [("x", "x"), ("é", "é"), ("é", #"\u00e9"#)] {
            let fits = String(repeating: escaped, count: 128)
            #expect(try self.read("{\"request_id\":\"\(fits)\"}").requestID != nil)
            let over = String(repeating: character, count: 129)
            #expect(throws: RPCError.self) { try self.read("{\"request_id\":\"\(over)\"}") }
        }
    }

    private func read(_ text: String) throws -> RequestMetadata {
        let bytes = Array(text.utf8)
        let result = bytes.withUnsafeBytes { bytes in
            Result { try RequestMetadata(scanning: bytes, 0..<bytes.count, limits: MessageLimits()) }
        }
        return try result.get()
    }

    private func slice(_ text: String, _ range: Range<Int>) -> String {
        String(decoding: Array(text.utf8)[range], as: UTF8.self)
    }
}
