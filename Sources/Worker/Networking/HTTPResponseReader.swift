/// Reads one HTTP/1.1 response (RFC 9112) out of the bytes of a connection, however they are split:
///
///     HTTP/1.1 200 OK⏎ Transfer-Encoding: chunked⏎ ⏎ 4⏎ {"a" ⏎ 3⏎ :1} ⏎ 0⏎ ⏎
///
/// The body's length is told by chunks, by `Content-Length` or by the end of the connection.
struct HTTPResponseReader {
    /// Bytes of the head, and of all chunks' lines, at most.
    static let headLimit = 16 << 10

    private enum State: Equatable {
        case statusLine
        case headers
        case body(left: Int)
        case chunkSize
        case chunk(left: Int)
        /// The line end behind a chunk.
        case chunkEnd
        case trailers
        case bodyUntilEnd
        case complete
    }

    private(set) var status = 0
    private(set) var body: [UInt8] = []
    /// Whether the connection can take another request afterwards.
    private(set) var keepsConnection = false
    private var state = State.statusLine
    private var contentLength: Int?
    private var isChunked = false
    private var lineBytes = 0
    private var line: [UInt8] = []
    private let bodyLimit: Int

    init(bodyLimit: Int) { self.bodyLimit = bodyLimit }

    var isComplete: Bool { self.state == .complete }

    /// Takes what came next.
    mutating func take(_ bytes: UnsafeRawBufferPointer) throws(HTTPFailure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            switch self.state {
            case .body(let left):
                let count = try self.takeBody(&rest, upTo: left)
                self.state = count == left ? .complete : .body(left: left - count)
            case .chunk(let left):
                let count = try self.takeBody(&rest, upTo: left)
                self.state = count == left ? .chunkEnd : .chunk(left: left - count)
            case .bodyUntilEnd:
                _ = try self.takeBody(&rest, upTo: .max)
            case .complete:
                // Nobody asked for more: what comes is no answer to the next request.
                self.keepsConnection = false
                return
            case .statusLine, .headers, .chunkSize, .chunkEnd, .trailers:
                if try self.completesLine(&rest) {
                    let line = self.line
                    self.line.removeAll(keepingCapacity: true)
                    try self.take(line: line)
                }
            }
        }
    }

    /// The connection has ended.
    mutating func takeEnd() throws(HTTPFailure) {
        self.keepsConnection = false
        switch self.state {
        case .complete: return
        case .bodyUntilEnd: self.state = .complete
        default: throw HTTPFailure(.cutOff, "the connection was closed within the answer")
        }
    }

    private mutating func takeBody(
        _ rest: inout Slice<UnsafeRawBufferPointer>, upTo count: Int
    ) throws(HTTPFailure) -> Int {
        let part = rest.prefix(count)
        guard self.body.count + part.count <= self.bodyLimit else { throw self.tooLarge }
        self.body.append(contentsOf: part)
        rest = rest[part.endIndex...]
        return part.count
    }

    private var tooLarge: HTTPFailure {
        HTTPFailure(.tooLarge, "the answer has more than \(self.bodyLimit) bytes")
    }

    /// Collects a line, without its end; false while its end is not there.
    private mutating func completesLine(
        _ rest: inout Slice<UnsafeRawBufferPointer>
    ) throws(HTTPFailure) -> Bool {
        let end = rest.firstIndex(of: 0x0A)
        let part = rest[..<(end ?? rest.endIndex)]
        self.lineBytes += part.count + 1
        guard self.lineBytes <= Self.headLimit else { throw Self.malformed("its head is too long") }
        self.line.append(contentsOf: part)
        guard let end else {
            rest = rest[rest.endIndex...]
            return false
        }
        rest = rest[(end + 1)...]
        if self.line.last == 0x0D { self.line.removeLast() }
        return true
    }

    private static func malformed(_ what: String) -> HTTPFailure {
        HTTPFailure(.malformed, "the answer is no HTTP: \(what)")
    }
}

// MARK: - Lines

extension HTTPResponseReader {
    private mutating func take(line: [UInt8]) throws(HTTPFailure) {
        let text = String(decoding: line, as: UTF8.self)
        switch self.state {
        case .statusLine: try self.take(statusLine: text)
        case .headers where line.isEmpty: try self.beginBody()
        case .headers: try self.take(header: text)
        case .chunkSize: try self.take(chunkSize: text)
        case .chunkEnd:
            guard line.isEmpty else { throw Self.malformed("a chunk is longer than it says") }
            // Lines of chunks are bounded by the body, not by the head.
            self.lineBytes = 0
            self.state = .chunkSize
        case .trailers where line.isEmpty: self.state = .complete
        case .trailers: break
        case .body, .chunk, .bodyUntilEnd, .complete:
            preconditionFailure("a line in the state \(self.state)")
        }
    }

    private mutating func take(statusLine text: String) throws(HTTPFailure) {
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count >= 2, parts[0] == "HTTP/1.1" || parts[0] == "HTTP/1.0", parts[1].count == 3,
            let status = Int(parts[1]), (100...999).contains(status)
        else { throw Self.malformed("it does not begin with a status") }
        self.status = status
        self.keepsConnection = parts[0] == "HTTP/1.1"
        self.state = .headers
    }

    private mutating func take(header text: String) throws(HTTPFailure) {
        guard let colon = text.firstIndex(of: ":") else { throw Self.malformed("a header has no colon") }
        let value = String(text[text.index(after: colon)...].drop { $0 == " " || $0 == "\t" }.lowercased())
            .trimmedEnd
        switch text[..<colon].lowercased() {
        case "content-length":
            guard let length = Int(value), length >= 0, value.utf8.allSatisfy({ $0 != UInt8(ascii: "+") }),
                self.contentLength == nil || self.contentLength == length
            else { throw Self.malformed("its Content-Length makes no sense") }
            self.contentLength = length
        case "transfer-encoding":
            guard value == "chunked" else { throw Self.malformed("its Transfer-Encoding is not chunked") }
            self.isChunked = true
        case "content-encoding":
            guard value == "identity" else {
                throw Self.malformed("it is compressed, which nobody asked for")
            }
        case "connection":
            if value.contains("close") { self.keepsConnection = false }
        default: break
        }
    }

    private mutating func beginBody() throws(HTTPFailure) {
        if self.status < 200 {
            // An interim answer: the final one follows.
            self.state = .statusLine
        } else if self.status == 204 || self.status == 304 {
            self.state = .complete
        } else if self.isChunked {
            // Both is what request smuggling is made of: believed, but not twice on one connection.
            if self.contentLength != nil { self.keepsConnection = false }
            self.state = .chunkSize
        } else if let length = self.contentLength {
            guard length <= self.bodyLimit else { throw self.tooLarge }
            self.body.reserveCapacity(length)
            self.state = length == 0 ? .complete : .body(left: length)
        } else {
            self.keepsConnection = false
            self.state = .bodyUntilEnd
        }
    }

    private mutating func take(chunkSize text: String) throws(HTTPFailure) {
        let digits = text.prefix { $0 != ";" && $0 != " " && $0 != "\t" }
        guard !digits.isEmpty, digits.utf8.count <= 15, !digits.hasPrefix("+"), !digits.hasPrefix("-"),
            let size = Int(digits, radix: 16)
        else { throw Self.malformed("a chunk has no length") }
        guard size <= self.bodyLimit else { throw self.tooLarge }
        self.state = size == 0 ? .trailers : .chunk(left: size)
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        var text = self[...]
        while text.last == " " || text.last == "\t" { text.removeLast() }
        return String(text)
    }
}
