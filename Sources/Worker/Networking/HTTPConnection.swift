import Glibc

/// A connection to an HTTP server, closed when it goes.
final class HTTPConnection: Sendable {
    /// How often a wait looks whether the caller has given up.
    private static let glance: Int64 = 50

    private let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(self.descriptor) }

    /// Connects to the first address of the host that answers.
    ///
    /// The look-up of a name waits as long as the system's resolver does; addresses need none.
    static func open(
        _ address: HTTPAddress, until deadline: MonotonicClock, isCancelled: () -> Bool
    ) throws(HTTPFailure) -> HTTPConnection {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(address.host, "\(address.port)", &hints, &list)
        guard code == 0 else {
            throw HTTPFailure(
                .cannotConnect, "cannot look up \(address.host): \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(list) }
        var failure = HTTPFailure(.cannotConnect, "\(address.host) has no address")
        var next = list
        while let entry = next?.pointee {
            do throws(HTTPFailure) {
                return try self.connect(entry, until: deadline, isCancelled: isCancelled)
            } catch {
                guard error.kind == .cannotConnect else { throw error }
                failure = error
            }
            next = entry.ai_next
        }
        throw failure
    }

    private static func connect(
        _ entry: addrinfo, until deadline: MonotonicClock, isCancelled: () -> Bool
    ) throws(HTTPFailure) -> HTTPConnection {
        let flags = entry.ai_socktype | Int32(SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(entry.ai_family, flags, entry.ai_protocol)
        guard descriptor >= 0 else { throw self.cannotConnect(errno) }
        let connection = HTTPConnection(descriptor: descriptor)
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        if Glibc.connect(descriptor, entry.ai_addr, entry.ai_addrlen) == 0 { return connection }
        guard errno == EINPROGRESS || errno == EINTR else { throw self.cannotConnect(errno) }
        _ = try connection.wait(
            for: POLLOUT, until: deadline, timeout: "it took too long to connect", isCancelled: isCancelled)
        var code: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length)
        guard code == 0 else { throw self.cannotConnect(code) }
        return connection
    }

    private static func cannotConnect(_ code: Int32) -> HTTPFailure {
        HTTPFailure(.cannotConnect, "cannot connect: \(String(cString: strerror(code)))")
    }

    /// Whether the other side has said or closed anything on a connection that should be quiet.
    var isStale: Bool {
        var entry = pollfd(fd: self.descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) != 0
    }

    /// Sends a request.
    ///
    /// - Returns: false when the server began to answer, or closed, before it had all of it: there may be an answer to
    ///   read, but the connection is of no use afterwards.
    func send(
        _ bytes: [UInt8], until deadline: MonotonicClock, isCancelled: () -> Bool
    ) throws(HTTPFailure) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let events = try self.wait(
                for: POLLOUT | POLLIN, until: deadline, timeout: "it took too long to send the request",
                isCancelled: isCancelled)
            guard events & POLLIN == 0 else { return false }
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(
                    self.descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent,
                    Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno != EINTR, errno != EAGAIN {
                return false
            }
        }
        return true
    }

    /// Waits for bytes and reads some.
    ///
    /// - Returns: how many; 0 at the end of the connection, an orderly one or not.
    func receive(
        into buffer: UnsafeMutableRawBufferPointer, until deadline: MonotonicClock, isCancelled: () -> Bool
    ) throws(HTTPFailure) -> Int {
        while true {
            _ = try self.wait(
                for: POLLIN, until: deadline, timeout: "it took too long to answer", isCancelled: isCancelled)
            let count = recv(self.descriptor, buffer.baseAddress, buffer.count, 0)
            if count >= 0 { return count }
            if errno != EINTR, errno != EAGAIN { return 0 }
        }
    }

    /// - Parameter timeout: what to say when the deadline passes.
    /// - Returns: the events that came, of those asked for, or an error's or a hang-up's as all of them.
    private func wait(
        for events: Int32, until deadline: MonotonicClock, timeout: String, isCancelled: () -> Bool
    ) throws(HTTPFailure) -> Int32 {
        while true {
            guard !isCancelled() else { throw .cancelled }
            let left = Int64(deadline.milliseconds(since: .now).rounded(.up))
            guard left > 0 else { throw HTTPFailure(.timeout, timeout) }
            var entry = pollfd(fd: self.descriptor, events: Int16(events), revents: 0)
            let count = poll(&entry, 1, Int32(min(left, Self.glance)))
            guard count > 0 else { continue }
            let came = Int32(entry.revents)
            return came & (POLLERR | POLLHUP) != 0 ? events : came & events
        }
    }
}
