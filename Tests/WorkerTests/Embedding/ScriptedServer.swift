import Glibc

@testable import Worker

/// A server on 127.0.0.1 that does with each connection what a test has written down, each on a thread of its own.
final class ScriptedServer: Sendable {
    let port: UInt16
    private let listener: Int32
    private let seen = Locked<[String]>([])

    /// One connection as the server sees it.
    final class Connection: Sendable {
        /// From 0, in the order of their acceptance.
        let number: Int
        private let descriptor: Int32
        private let server: Locked<[String]>

        fileprivate init(number: Int, descriptor: Int32, server: Locked<[String]>) {
            self.number = number
            self.descriptor = descriptor
            self.server = server
        }

        deinit { close(self.descriptor) }

        /// The next request, head and body; nil at the end of the connection.
        func request() -> String? {
            var bytes: [UInt8] = []
            var byte: UInt8 = 0
            while !bytes.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                guard read(self.descriptor, &byte, 1) == 1 else { return nil }
                bytes.append(byte)
            }
            let head = String(decoding: bytes, as: UTF8.self)
            let length = head.split(separator: "\r\n").first { $0.hasPrefix("Content-Length: ") }
            for _ in 0..<(length.flatMap { Int($0.dropFirst(16)) } ?? 0) {
                guard read(self.descriptor, &byte, 1) == 1 else { return nil }
                bytes.append(byte)
            }
            let text = String(decoding: bytes, as: UTF8.self)
            self.server.withLock { $0.append(text) }
            return text
        }

        func send(_ text: String) {
            let bytes = Array(text.utf8)
            _ = bytes.withUnsafeBytes {
                Glibc.send(self.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
        }

        /// A whole answer in JSON.
        func answer(_ body: String, status: String = "200 OK") {
            self.send("HTTP/1.1 \(status)\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }

        /// Waits until the other side has closed.
        func waitForEnd() {
            var byte: UInt8 = 0
            while read(self.descriptor, &byte, 1) == 1 {}
        }
    }

    init(_ script: @escaping @Sendable (Connection) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(listener, pointer, length) == 0 && listen(listener, 64) == 0
                    ? getsockname(listener, pointer, &length) : -1
            }
        }
        guard code == 0 else { throw SystemError("listen on", "127.0.0.1") }
        self.listener = listener
        self.port = UInt16(bigEndian: address.sin_port)
        let seen = self.seen
        startOwnThread {
            for number in 0... {
                let descriptor = accept(listener, nil, nil)
                // Closed by the one who accepts: else the number might be another server's by then.
                guard descriptor >= 0 else { return _ = close(listener) }
                let connection = Connection(number: number, descriptor: descriptor, server: seen)
                startOwnThread { script(connection) }
            }
        }
    }

    /// Answers every request with what a closure makes of it.
    convenience init(answering body: @escaping @Sendable (String) -> String) throws {
        try self.init { connection in
            while let request = connection.request() { connection.answer(body(request)) }
        }
    }

    deinit {
        // Wakes the thread in accept.
        shutdown(self.listener, Int32(SHUT_RDWR))
    }

    /// What was asked so far, heads and bodies.
    var requests: [String] { self.seen.withLock { $0 } }

    var address: HTTPAddress {
        get throws { try HTTPAddress("http://127.0.0.1:\(self.port)") }
    }

    /// A port on which nobody listens: below those that the system gives to anybody.
    static let closedPort: UInt16 = 1
}
