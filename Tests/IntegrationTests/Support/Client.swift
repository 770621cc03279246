import Glibc
import Protocol

@testable import Supervisor

/// One connection to a supervisor: bytes out, messages in, each with a deadline.
final class Client {
    enum Framing { case lines, contentLength }

    let socket: FileDescriptor
    let framing: Framing
    private var received: [UInt8] = []
    /// Bytes of it that hold no line break.
    private var scanned = 0
    private var nextID = 1
    /// Lives as long as the connection.
    private let server: AnyObject?

    init(_ path: String, _ framing: Framing = .lines, of server: AnyObject? = nil) throws {
        self.server = server
        self.socket = try UnixSocket.connect(to: path)
        self.framing = framing
    }

    // MARK: Sending

    /// Bytes as they are.
    func sendBytes(_ bytes: [UInt8], within seconds: Double = 10) throws {
        let watch = Stopwatch()
        var sent = 0
        while sent < bytes.count {
            switch bytes.withUnsafeBytes({ self.socket.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) })
            {
            case .bytes(let count): sent += count
            case .wouldBlock:
                guard self.socket.wait(toWrite: true, for: .milliseconds(20)) || watch.seconds < seconds
                else {
                    throw Failure("the supervisor took \(sent) of \(bytes.count) bytes in \(seconds) s")
                }
            case let other: throw Failure("sending failed: \(other)")
            }
        }
    }

    /// One message, framed.
    func send(_ message: [UInt8]) throws {
        switch self.framing {
        case .lines: try self.sendBytes(message + [0x0A])
        case .contentLength:
            try self.sendBytes(Array("Content-Length: \(message.count)\r\n\r\n".utf8) + message)
        }
    }

    func send(_ message: String) throws { try self.send(Array(message.utf8)) }

    /// Nothing more will be sent; answers can still come.
    func endInput() { shutdown(self.socket.raw, Int32(SHUT_WR)) }

    // MARK: Receiving

    /// The next message.
    ///
    /// - Throws: when none comes in time, or the connection ends.
    func receive(within seconds: Double = 10) throws -> [UInt8] {
        guard let message = try self.receiveOrEnd(within: seconds) else {
            throw Failure("the connection was closed; unfinished: \(Self.shortened(self.received))")
        }
        return message
    }

    func receiveText(within seconds: Double = 10) throws -> String {
        String(decoding: try self.receive(within: seconds), as: UTF8.self)
    }

    func receiveJSON(within seconds: Double = 10) throws -> JSONValue {
        let bytes = try self.receive(within: seconds)
        do {
            return try JSONValue(parsing: bytes)
        } catch { throw Failure("\(error) in the answer \(Self.shortened(bytes))") }
    }

    /// nil at the end of the connection.
    func receiveOrEnd(within seconds: Double = 10) throws -> [UInt8]? {
        let watch = Stopwatch()
        while true {
            if let message = self.takeMessage() { return message }
            let left = seconds - watch.seconds
            guard left > 0 else { throw Failure("no answer within \(seconds) s") }
            if try !self.readMore(within: left) { return nil }
        }
    }

    /// - Throws: when something comes within that time.
    func expectNothing(for seconds: Double) throws {
        if let message = self.takeMessage() { throw Failure("unexpected: \(Self.shortened(message))") }
        if self.socket.wait(for: Nanoseconds(seconds * 1e9)) {
            throw Failure("unexpected: \(Self.shortened(try self.receiveOrEnd() ?? []))")
        }
    }

    /// - Throws: unless the supervisor closes the connection without another word.
    func expectEnd(within seconds: Double = 10) throws {
        if let message = try self.receiveOrEnd(within: seconds) {
            throw Failure("expected the end of the connection, got \(Self.shortened(message))")
        }
    }

    /// Reads once.
    ///
    /// - Returns: false at the end of the connection.
    func readMore(within seconds: Double) throws -> Bool {
        guard self.socket.wait(for: Nanoseconds(seconds * 1e9)) else { return true }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        switch buffer.withUnsafeMutableBytes({ self.socket.read(into: $0) }) {
        case .bytes(let count): self.received += buffer[..<count]
        case .wouldBlock: break
        case .ended: return false
        case .failed(let error): throw Failure("reading failed: \(error)")
        }
        return true
    }

    /// A message that is there already; nil when none is.
    func takeJSON() throws -> JSONValue? {
        if let message = self.takeMessage() { return try JSONValue(parsing: message) }
        guard self.socket.wait(for: 0) else { return nil }
        _ = try self.readMore(within: 0)
        return try self.takeMessage().map { try JSONValue(parsing: $0) }
    }

    /// Reads that many bytes of what waits, and no more.
    func take(_ count: Int) throws {
        var buffer = [UInt8](repeating: 0, count: count)
        let taken = recv(self.socket.raw, &buffer, count, Int32(MSG_WAITALL))
        guard taken == count else { throw Failure("reading \(count) bytes: got \(taken)") }
        self.received += buffer
    }

    /// A message that has come whole.
    func takeMessage() -> [UInt8]? {
        switch self.framing {
        case .lines:
            let found = self.received.withUnsafeBytes { bytes -> Int? in
                guard let base = bytes.baseAddress,
                    let hit = memchr(base + self.scanned, 0x0A, bytes.count - self.scanned)
                else { return nil }
                return UnsafeRawPointer(hit) - base
            }
            self.scanned = found == nil ? self.received.count : 0
            guard let end = found else { return nil }
            defer { self.received.removeSubrange(...end) }
            return Array(self.received[..<end])
        case .contentLength:
            let mark = Array("\r\n\r\n".utf8)
            guard self.received.count >= 4,
                let end = (0...self.received.count - 4).first(where: {
                    self.received[$0..<$0 + 4].elementsEqual(mark)
                })
            else { return nil }
            let header = String(decoding: self.received[..<end], as: UTF8.self)
            guard header.hasPrefix("Content-Length: "), let length = Int(header.dropFirst(16)),
                self.received.count >= end + 4 + length
            else { return nil }
            defer { self.received.removeSubrange(..<(end + 4 + length)) }
            return Array(self.received[end + 4..<end + 4 + length])
        }
    }

    private static func shortened(_ bytes: [UInt8]) -> String {
        String(decoding: bytes.prefix(500), as: UTF8.self)
    }

    // MARK: Calls

    /// One message and its answer.
    func ask(_ message: String, within seconds: Double = 10) throws -> JSONValue {
        try self.send(message)
        return try self.receiveJSON(within: seconds)
    }

    /// Sends a call with an id of its own, and does not wait.
    ///
    /// - Returns: the id.
    @discardableResult
    func start(_ method: String, _ params: String? = nil, metadata: String? = nil) throws -> Int {
        defer { self.nextID += 1 }
        let rest =
            (params.map { ",\"params\":\($0)" } ?? "") + (metadata.map { ",\"metadata\":\($0)" } ?? "")
        try self.send("{\"jsonrpc\":\"2.0\",\"id\":\(self.nextID),\"method\":\"\(method)\"\(rest)}")
        return self.nextID
    }

    /// A call and its whole response.
    func call(
        _ method: String, _ params: String? = nil, metadata: String? = nil, within seconds: Double = 10
    ) throws -> JSONValue {
        let id = try self.start(method, params, metadata: metadata)
        let response = try self.receiveJSON(within: seconds)
        guard response["id"] == .integer(id) else {
            throw Failure("expected the answer to call \(id), got \(response.text.prefix(500))")
        }
        return response
    }

    /// The responses to so many calls, by id.
    func receiveAll(_ count: Int, within seconds: Double = 10) throws -> [Int: JSONValue] {
        var responses: [Int: JSONValue] = [:]
        let watch = Stopwatch()
        for _ in 0..<count {
            let response = try self.receiveJSON(within: max(0.01, seconds - watch.seconds))
            let id = Int(response["id"]?.integerValue ?? -1)
            guard responses.updateValue(response, forKey: id) == nil else {
                throw Failure("answered twice: \(response.text.prefix(500))")
            }
        }
        return responses
    }
}

extension JSONValue {
    /// A value deep inside: `pools.0.workers.1.pid`.
    subscript(path path: String) -> JSONValue {
        path.split(separator: ".").reduce(self) { value, part in
            if let index = Int(part), let elements = value.arrayValue {
                return index < elements.count ? elements[index] : .null
            }
            return value[String(part)] ?? .null
        }
    }

    var errorCode: Int? { self[path: "error.code"].integerValue.map { Int($0) } }
    var errorReason: String? { self[path: "error.data.reason"].stringValue }
}
