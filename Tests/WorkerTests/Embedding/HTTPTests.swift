import Testing

@testable import Worker

@Suite struct HTTPAddressTests {
    @Test(
        arguments: [
            ("http://127.0.0.1:11434", "127.0.0.1", 11434, ""), ("http://gpu-1", "gpu-1", 80, ""),
            ("HTTP://h:1/v1/", "h", 1, "/v1"), ("http://[::1]:8080/a/b", "::1", 8080, "/a/b"),
            ("http://[fe80::1]", "fe80::1", 80, ""),
        ] as [(String, String, UInt16, String)])
    func takesHostPortAndPath(text: String, host: String, port: UInt16, path: String) throws {
        let address = try HTTPAddress(text)
        #expect(address.host == host && address.port == port && address.path == path)
    }

    @Test(arguments: [
        "", "h:80", "ftp://h", "http://", "http://:80", "http://h:", "http://h:0", "http://h:65536",
        "http://h:+1",
        "http://h:80x", "http://u:p@h", "http://h?q", "http://h#f", "http://h/ä", "http://h/a b",
        "http://[::1",
        "http://[::1]80", "http://a]b", "http://h\r\nX: y",
    ])
    func refusesTheRest(text: String) {
        #expect(throws: HTTPAddress.Fault.notAnAddress) { try HTTPAddress(text) }
    }

    @Test(arguments: ["https://h", "HTTPS://h:443/v1"])
    func tellsHTTPSFromNonsense(text: String) {
        #expect(throws: HTTPAddress.Fault.https) { try HTTPAddress(text) }
    }
}

@Suite struct HTTPResponseReaderTests {
    /// Reads a response that comes in parts of that many bytes and ends there.
    static func read(
        _ text: String, parts: Int = .max, bodyLimit: Int = 1_000, ends: Bool = false
    ) throws -> HTTPResponseReader {
        var reader = HTTPResponseReader(bodyLimit: bodyLimit)
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            try Array(rest.prefix(parts)).withUnsafeBytes { try reader.take($0) }
            rest = rest.dropFirst(parts)
        }
        if ends { try reader.takeEnd() }
        return reader
    }

    @Test(
        arguments: [
            "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200\r\ncontent-length:7 \r\nContent-Length: 7\r\n\r\n{\"a\":1}",
            "HTTP/1.1 200 OK\nTransfer-Encoding:  chunked\n\n4\n{\"a\"\n3\n:1}\n0\n\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n4;x=y\r\n{\"a\"\r\n03\r\n:1}\r\n0\r\nT: v\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
        ], [1, 2, 3, 7, Int.max])
    func readsABodyHoweverItIsSplit(text: String, parts: Int) throws {
        let reader = try Self.read(text, parts: parts)
        #expect(reader.isComplete && reader.status == 200 && reader.keepsConnection)
        #expect(reader.body == Array(#"{"a":1}"#.utf8))
    }

    @Test func takesTheEndOfTheConnectionForTheEndOfABodyWithoutLength() throws {
        let reader = try Self.read("HTTP/1.0 200 OK\r\n\r\nabc", ends: true)
        #expect(reader.isComplete && !reader.keepsConnection && reader.body == Array("abc".utf8))
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ])
    func doesNotUseAConnectionAgainThatIsClosedOrOutOfStep(text: String) throws {
        let reader = try Self.read(text)
        #expect(reader.isComplete && !reader.keepsConnection)
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ])
    func doesNotTakeHalfAnAnswer(text: String) {
        #expect { try Self.read(text, ends: true) } throws: { ($0 as? HTTPFailure)?.kind == .cutOff }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n", "HTTP/2 200\r\n", "HTTP/1.1 20 OK\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: HTTPResponseReader.headLimit),
    ])
    func refusesWhatIsNoHTTP(text: String) {
        #expect { try Self.read(text) } throws: { ($0 as? HTTPFailure)?.kind == .malformed }
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\naaaaaa\r\n6\r\naaaaaa\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFF\r\n",
        "HTTP/1.1 200 OK\r\n\r\nabcdefghijk",
    ])
    func refusesABodyOverItsLimit(text: String) {
        #expect { try Self.read(text, bodyLimit: 10) } throws: { ($0 as? HTTPFailure)?.kind == .tooLarge }
    }
}

@Suite struct HTTPClientTests {
    static func post(
        _ client: HTTPClient, _ body: [UInt8] = Array("{}".utf8), authorization: String? = nil,
        milliseconds: Int64 = 60_000, isCancelled: @Sendable @escaping () -> Bool = { false }
    ) async -> Result<HTTPResponse, HTTPFailure> {
        await onOwnThread {
            Result { () throws(HTTPFailure) in
                try client.post(
                    "/p", json: body, authorization: authorization,
                    until: .now.adding(milliseconds: milliseconds), isCancelled: isCancelled)
            }
        }
    }

    @Test func postsAndKeepsTheConnection() async throws {
        let server = try ScriptedServer { connection in
            while connection.request() != nil { connection.answer("\(connection.number)") }
        }
        let client = HTTPClient(try HTTPAddress("http://127.0.0.1:\(server.port)/base"))
        for _ in 0..<3 {
            let response = try await Self.post(client, authorization: "Bearer k").get()
            #expect(response == HTTPResponse(status: 200, body: Array("0".utf8)))
        }
        let request = try #require(server.requests.first)
        #expect(request.hasPrefix("POST /base/p HTTP/1.1\r\nHost: 127.0.0.1:\(server.port)\r\n"))
        #expect(request.contains("\r\nAuthorization: Bearer k\r\n") && request.hasSuffix("\r\n\r\n{}"))
    }

    @Test func takesAnAnswerInManyPieces() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.request()
            let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
            for character in answer.unicodeScalars { connection.send(String(character)) }
            connection.waitForEnd()
        }
        let response = try await Self.post(HTTPClient(server.address)).get()
        #expect(response.body == Array("abc".utf8))
    }

    @Test func sendsOnceMoreWhenAKeptConnectionEndsWithoutAnAnswer() async throws {
        let server = try ScriptedServer { connection in
            guard connection.request() != nil else { return }
            connection.answer("\(connection.number)")
            // The second request on the first connection finds it closing.
            if connection.request() != nil, connection.number > 0 { connection.answer("kept") }
        }
        let client = HTTPClient(try server.address)
        #expect(try await Self.post(client).get().body == Array("0".utf8))
        #expect(try await Self.post(client).get().body == Array("1".utf8))
        #expect(try await Self.post(client).get().body == Array("kept".utf8))
        #expect(server.requests.count == 4)
    }

    @Test func opensAnotherWhenTheServerHasClosedAnIdleConnection() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.request()
            connection.answer("\(connection.number)")
        }
        let client = HTTPClient(try server.address)
        #expect(try await Self.post(client).get().body == Array("0".utf8))
        #expect(try await Self.post(client).get().body == Array("1".utf8))
    }

    @Test func sendsOnlyOnceOnANewConnection() async throws {
        let server = try ScriptedServer { connection in _ = connection.request() }
        let result = await Self.post(HTTPClient(try server.address))
        #expect(result == .failure(.closedUnanswered))
        #expect(server.requests.count == 1)
    }

    @Test func saysThatNobodyListens() async throws {
        let port = ScriptedServer.closedPort
        let result = await Self.post(HTTPClient(try HTTPAddress("http://127.0.0.1:\(port)")))
        #expect(result == .failure(HTTPFailure(.cannotConnect, "cannot connect: Connection refused")))
    }

    @Test func givesUpOnASlowServer() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.request()
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
            connection.waitForEnd()
        }
        let result = await Self.post(HTTPClient(try server.address), milliseconds: 80)
        #expect(result == .failure(HTTPFailure(.timeout, "it took too long to answer")))
    }

    @Test func givesUpWithItsCaller() async throws {
        let isCancelled = Locked(false)
        let server = try ScriptedServer { connection in
            _ = connection.request()
            isCancelled.withLock { $0 = true }
            connection.waitForEnd()
        }
        let result = await Self.post(
            HTTPClient(try server.address), isCancelled: { isCancelled.withLock { $0 } })
        #expect(result == .failure(.cancelled))
    }

    @Test func readsAnAnswerThatComesBeforeTheRequestIsSent() async throws {
        let server = try ScriptedServer { connection in
            connection.answer("too much", status: "413 Payload Too Large")
            connection.waitForEnd()
        }
        let body = [UInt8](repeating: 0x20, count: 32 << 20)
        let response = try await Self.post(HTTPClient(server.address), body).get()
        #expect(response == HTTPResponse(status: 413, body: Array("too much".utf8)))
    }

    @Test func refusesAnAnswerThatIsTooLarge() async throws {
        let server = try ScriptedServer { connection in
            _ = connection.request()
            connection.send("HTTP/1.1 200 OK\r\n\r\n" + String(repeating: "x", count: 2_000))
            connection.waitForEnd()
        }
        let client = HTTPClient(try server.address, limits: HTTPClient.Limits(responseBytes: 1_000))
        let result = await Self.post(client)
        #expect(result == .failure(HTTPFailure(.tooLarge, "the answer has more than 1000 bytes")))
    }
}
