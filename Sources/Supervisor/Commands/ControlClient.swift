import Glibc
import Protocol

/// A failed command: what is said on stderr, and the exit code (protocol §7).
struct CommandFailure: Error {
    var exitCode: Int32
    var message: String

    static func failed(_ message: String) -> CommandFailure { CommandFailure(exitCode: 1, message: message) }
    static func usage(_ message: String) -> CommandFailure { CommandFailure(exitCode: 2, message: message) }
    static func notRunning(_ message: String) -> CommandFailure {
        CommandFailure(exitCode: 3, message: message)
    }
}

/// One connection of a command to a running supervisor.
struct ControlClient: ~Copyable {
    let path: String
    /// The supervisor's process.
    let server: Peer
    private let socket: FileDescriptor
    private var decoder: FrameDecoder
    /// Messages that came behind the one that was waited for.
    private var pending: [[UInt8]] = []

    /// Connects to the first place where something listens.
    ///
    /// - Throws: exit code 3 with all places that were tried, when nothing does.
    static func connect(_ arguments: ParsedArguments) throws(CommandFailure) -> ControlClient {
        try self.connect(
            to: SocketPath.candidates(
                given: arguments.value("socket"), environment: ProcessEnvironment.current))
    }

    /// The same for these places.
    static func connect(to paths: [String]) throws(CommandFailure) -> ControlClient {
        var faults: [String] = []
        for path in paths {
            guard path.utf8.count <= UnixSocket.pathLimit else {
                throw .usage("socket path \(path) is too long: at most \(UnixSocket.pathLimit) bytes")
            }
            if let fault = SocketPath.faultForConnecting(to: path, uid: getuid()) {
                faults.append("\(path) (\(fault))")
                continue
            }
            let socket: FileDescriptor
            do throws(SystemError) {
                socket = try UnixSocket.connect(to: path)
            } catch {
                guard error.number == ENOENT || error.number == ECONNREFUSED || error.number == ENOTDIR else {
                    throw .failed("cannot connect to \(path): \(error.text)")
                }
                faults.append("\(path) (\(error.number == ECONNREFUSED ? "nothing listens" : error.text))")
                continue
            }
            return try self.accept(socket, path)
        }
        throw .notRunning("no supervisor is running; tried \(faults.joined(separator: ", "))")
    }

    /// Checks that the server is one to be trusted: root's, ours, or of the owner of the socket's directory.
    private static func accept(
        _ socket: consuming FileDescriptor, _ path: String
    ) throws(CommandFailure) -> ControlClient {
        guard let server = UnixSocket.peer(of: socket) else {
            throw .failed("\(path): the system does not say who listens there")
        }
        let isTrusted =
            server.uid == 0 || server.uid == getuid()
            || server.uid == UnixSocket.directoryOwner(of: path)
        guard isTrusted else {
            throw .failed(
                "\(path): the server runs as user \(server.uid), who is neither root, nor yourself, nor the owner "
                    + "of the directory")
        }
        return ControlClient(path: path, server: server, socket: socket)
    }

    private init(path: String, server: Peer, socket: consuming FileDescriptor) {
        self.path = path
        self.server = server
        self.socket = socket
        // What comes back is judged by whoever reads it: no limit here.
        var limits = MessageLimits()
        limits.messageBytes = .max / 4
        self.decoder = FrameDecoder(framing: .lines, limits: limits)
    }

    /// Sends one call and waits for its response; parts of it that come before are not looked at.
    ///
    /// - Parameters:
    ///   - params: JSON text, sent as it is; empty: none.
    ///   - timeout: nil: as long as it takes.
    mutating func call(
        _ method: String, params: String = "", metadata: String = "", timeout: Nanoseconds?
    ) throws(CommandFailure) -> [UInt8] {
        let deadline = timeout.map { Clock.now.advanced(by: $0) }
        try self.start(method, params: params, metadata: metadata, deadline)
        while true {
            let message = try self.receive(deadline)
            let isChunk = message.withUnsafeBytes { ParamsReader.value("method", in: $0) != nil }
            if !isChunk { return message }
        }
    }

    /// Sends one call, with the id 1.
    func start(
        _ method: String, params: String, metadata: String, _ deadline: Instant?
    ) throws(CommandFailure) {
        var message = Array("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":".utf8)
        JSONText.append(string: method, to: &message)
        for (name, value) in [("params", params), ("metadata", metadata)] where !value.isEmpty {
            message.append(contentsOf: ",\"\(name)\":".utf8)
            let bytes = Array(value.utf8)
            bytes.withUnsafeBytes { MessageWriter.appendOnOneLine($0, to: &message) }
        }
        message.append(contentsOf: "}\n".utf8)
        try self.send(message, deadline)
    }

    /// Cancels that call; its answer still comes.
    func cancel(_ deadline: Instant?) throws(CommandFailure) {
        let message = "{\"jsonrpc\":\"2.0\",\"method\":\"$/cancelRequest\",\"params\":{\"id\":1}}\n"
        try self.send(Array(message.utf8), deadline)
    }

    /// The next message; nil: a signal came first.
    mutating func receive(
        _ deadline: Instant?, unlessInterrupted signals: borrowing SignalQueue
    ) throws(CommandFailure) -> [UInt8]? {
        while self.pending.isEmpty {
            let isWoken = self.socket.wait(orOn: signals.descriptor, for: self.left(deadline))
            if signals.next() != nil { return nil }
            guard isWoken || deadline == nil else { throw self.noAnswer }
            // A read would wait for the supervisor, whatever signals come.
            if self.socket.wait(for: 0) { try self.read() }
        }
        return self.pending.removeFirst()
    }

    private func left(_ deadline: Instant?) -> Nanoseconds {
        deadline.map { $0.duration(since: Clock.now) } ?? .seconds(3600)
    }

    private func send(_ message: [UInt8], _ deadline: Instant?) throws(CommandFailure) {
        var sent = 0
        while sent < message.count {
            switch message.withUnsafeBytes({ self.socket.send(UnsafeRawBufferPointer(rebasing: $0[sent...])) }
            ) {
            case .bytes(let count): sent += count
            case .wouldBlock:
                guard self.socket.wait(toWrite: true, for: self.left(deadline)) else { throw self.noAnswer }
            case .ended: return  // it may have said why before it hung up
            case .failed(let error): throw .failed("\(self.path): \(error)")
            }
        }
    }

    private mutating func receive(_ deadline: Instant?) throws(CommandFailure) -> [UInt8] {
        while self.pending.isEmpty {
            guard self.socket.wait(for: self.left(deadline)) || deadline == nil else { throw self.noAnswer }
            try self.read()
        }
        return self.pending.removeFirst()
    }

    /// Takes in what is there.
    private mutating func read() throws(CommandFailure) {
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        switch buffer.withUnsafeMutableBytes({ self.socket.read(into: $0) }) {
        case .bytes(let count): self.decode(buffer, count)
        case .wouldBlock: return
        case .ended: throw .failed("\(self.path): the supervisor closed the connection without an answer")
        case .failed(let error): throw .failed("\(self.path): \(error)")
        }
    }

    private mutating func decode(_ buffer: [UInt8], _ count: Int) {
        buffer.withUnsafeBytes { all in
            let bytes = UnsafeRawBufferPointer(rebasing: all[..<count])
            var offset = 0
            while let frame = self.decoder.next(in: bytes, from: &offset) {
                switch frame {
                case .input(let range): self.pending.append(Array(bytes[range]))
                case .assembled: self.pending.append(self.decoder.assembled)
                case .oversize, .unreadable: preconditionFailure("lines of any length")
                }
            }
        }
    }

    private var noAnswer: CommandFailure {
        .failed("\(self.path): no answer from the supervisor (pid \(self.server.pid)) in time")
    }

    /// Waits until the supervisor's process is gone.
    func waitForExit() {
        guard let pidfd = ProcessHandle.open(self.server.pid) else { return }
        while !pidfd.wait(for: .seconds(3600)) {}
    }
}

enum ProcessEnvironment {
    /// The variables of this process; of a doubled name the first, as getenv would.
    static var current: [String: String] {
        var result: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let text = String(cString: entry)
            if let equals = text.firstIndex(of: "=") {
                let name = String(text[..<equals])
                if result[name] == nil { result[name] = String(text[text.index(after: equals)...]) }
            }
            next += 1
        }
        return result
    }
}
