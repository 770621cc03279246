import Glibc

/// A response, whole.
struct HTTPResponse: Equatable {
    var status: Int
    var body: [UInt8]
}

/// Posts to one server and keeps its connections for the next request.
///
/// A server closes a connection that was idle for long whenever it likes, also in the moment a request is on
/// its way: a request on a kept connection that ends without one byte of an answer is sent once more, on a new one.
final class HTTPClient: Sendable {
    struct Limits {
        var connectMilliseconds: Int64 = 3_000
        var responseBytes = 64 << 20
        /// Connections kept; more than calls at once are not needed.
        var idleConnections = 16
    }

    let address: HTTPAddress
    private let limits: Limits
    private let idle = Locked<[HTTPConnection]>([])

    init(_ address: HTTPAddress, limits: Limits = Limits()) {
        self.address = address
        self.limits = limits
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// - Parameters:
    ///   - path: behind the address's own.
    ///   - authorization: the value of that header; never shown anywhere.
    ///   - isCancelled: asked every 50 ms.
    func post(
        _ path: String, json body: [UInt8], authorization: String? = nil, until deadline: MonotonicClock,
        isCancelled: () -> Bool
    ) throws(HTTPFailure) -> HTTPResponse {
        let request = self.request(path, body, authorization)
        if let kept = self.takeIdle() {
            do throws(HTTPFailure) {
                return try self.exchange(request, on: kept, until: deadline, isCancelled: isCancelled)
            } catch {
                guard error.kind == .closedUnanswered else { throw error }
            }
        }
        let connectDeadline = min(
            deadline, MonotonicClock.now.adding(milliseconds: self.limits.connectMilliseconds))
        let fresh = try HTTPConnection.open(self.address, until: connectDeadline, isCancelled: isCancelled)
        return try self.exchange(request, on: fresh, until: deadline, isCancelled: isCancelled)
    }

    private func request(_ path: String, _ body: [UInt8], _ authorization: String?) -> [UInt8] {
        var lines = [
            "POST \(self.address.path)\(path) HTTP/1.1", "Host: \(self.address.authority)",
            "Content-Type: application/json", "Accept: application/json", "Content-Length: \(body.count)",
        ]
        if let authorization { lines.append("Authorization: \(authorization)") }
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
    }

    private func exchange(
        _ request: [UInt8], on connection: HTTPConnection, until deadline: MonotonicClock,
        isCancelled: () -> Bool
    ) throws(HTTPFailure) -> HTTPResponse {
        let isSent = try connection.send(request, until: deadline, isCancelled: isCancelled)
        var reader = HTTPResponseReader(bodyLimit: self.limits.responseBytes)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
        defer { buffer.deallocate() }
        var isAnswered = false
        while !reader.isComplete {
            let count = try connection.receive(into: buffer, until: deadline, isCancelled: isCancelled)
            guard count > 0 else {
                guard isAnswered else { throw .closedUnanswered }
                try reader.takeEnd()
                break
            }
            isAnswered = true
            try reader.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        if isSent, reader.keepsConnection { self.keep(connection) }
        return HTTPResponse(status: reader.status, body: reader.body)
    }

    /// The connection used last: the others may be closed by then.
    private func takeIdle() -> HTTPConnection? {
        while let connection = self.idle.withLock({ $0.popLast() }) {
            if !connection.isStale { return connection }
        }
        return nil
    }

    private func keep(_ connection: HTTPConnection) {
        self.idle.withLock { idle in
            if idle.count < self.limits.idleConnections { idle.append(connection) }
        }
    }
}
