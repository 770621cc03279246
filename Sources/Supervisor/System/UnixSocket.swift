import CLinux
import Glibc

/// Unix sockets: connecting, listening, and who is at the other end.
enum UnixSocket {
    /// Bytes of a path that fit into an address, without the closing zero.
    static let pathLimit = 107

    /// Connects to a listening socket; the connection blocks.
    static func connect(to path: String) throws(SystemError) -> FileDescriptor {
        let socket = try self.make()
        let result = self.withAddress(path) { address, size in
            retryingInterrupts { Glibc.connect(socket.raw, address, size) }
        }
        guard result == 0 else { throw SystemError("connect") }
        return socket
    }

    static func make(flags: Int32 = 0) throws(SystemError) -> FileDescriptor {
        let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | flags
        let raw = socket(AF_UNIX, type, 0)
        guard raw >= 0 else { throw SystemError("socket") }
        return FileDescriptor(owning: raw)
    }

    static func withAddress<Result>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) {
            $0.copyBytes(from: Array(path.utf8).prefix($0.count - 1))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    /// The process at the other end, as the kernel saw it when the connection was made.
    static func peer(of socket: borrowing FileDescriptor) -> Peer? {
        var peer = clinux_peer()
        guard clinux_peer(socket.raw, &peer) == 0 else { return nil }
        return Peer(pid: peer.pid, uid: peer.uid)
    }

    /// The user who owns the directory that a socket file is in; nil when it cannot be seen.
    static func directoryOwner(of path: String) -> UInt32? {
        var info = stat()
        return stat(FilePath.directory(of: path), &info) == 0 ? info.st_uid : nil
    }

    /// The process that listens on a path; nil when none does.
    static func owner(of path: String) -> Peer? {
        guard let socket = try? self.connect(to: path) else { return nil }
        return self.peer(of: socket)
    }
}

/// A socket file that this process alone listens on, from `open` to `close`.
///
/// Beside the file stands a lock file, held for as long: of two supervisors that start at once one gets it, and
/// a socket file left by one that was killed is known to be stale.
struct UnixListener: ~Copyable {
    /// Why a path cannot be listened on, in a sentence.
    struct Refusal: Error, CustomStringConvertible { var description: String }

    let path: String
    let descriptor: FileDescriptor
    private let lock: LockFile

    private static func lockPath(_ path: String) -> String { "\(path).lock" }

    /// Opens the listener; a stale socket file is replaced, anything else is left alone.
    static func open(_ settings: Configuration.Socket, path: String) throws(Refusal) -> UnixListener {
        guard path.utf8.count <= UnixSocket.pathLimit else {
            throw Refusal(
                description: "socket path \(path): \(path.utf8.count) bytes are too long, at most "
                    + "\(UnixSocket.pathLimit) fit into a socket address")
        }
        let lock = try self.takeLock(path)
        try self.removeStaleSocket(path)
        do {
            let socket = try UnixSocket.make(flags: Int32(SOCK_NONBLOCK.rawValue))
            try self.bind(socket, path, settings)
            return UnixListener(path: path, descriptor: socket, lock: lock)
        } catch {
            throw Refusal(description: "socket path \(path): \(error)")
        }
    }

    private init(path: String, descriptor: consuming FileDescriptor, lock: consuming LockFile) {
        self.path = path
        self.descriptor = descriptor
        self.lock = lock
    }

    private static func bind(
        _ socket: borrowing FileDescriptor, _ path: String, _ settings: Configuration.Socket
    ) throws(SystemError) {
        // The file is born with its mode: nobody can connect in between.
        let before = umask(~settings.mode & 0o777)
        let result = UnixSocket.withAddress(path) { Glibc.bind(socket.raw, $0, $1) }
        let number = errno
        umask(before)
        guard result == 0 else { throw SystemError("bind", number) }
        if let group = settings.group {
            guard let id = self.groupID(group) else { throw SystemError("group \(group)", ENOENT) }
            guard chown(path, uid_t.max, id) == 0 else { throw SystemError("chown to group \(group)") }
        }
        guard listen(socket.raw, 4096) == 0 else { throw SystemError("listen") }
    }

    private static func groupID(_ name: String) -> gid_t? {
        if let number = gid_t(name) { return number }
        return getgrnam(name)?.pointee.gr_gid
    }

    private static func takeLock(_ path: String) throws(Refusal) -> LockFile {
        do throws(LockFile.Refusal) {
            return try LockFile.take(self.lockPath(path))
        } catch {
            switch error {
            case .held: throw self.refuseLive(path)
            case .failed(let error): throw self.refuseDirectory(path, error)
            }
        }
    }

    private static func refuseDirectory(_ path: String, _ error: SystemError) -> Refusal {
        Refusal(
            description: "socket path \(path): directory \(FilePath.directory(of: path)): \(error.text)")
    }

    private static func refuseLive(_ path: String) -> Refusal {
        let pid = UnixSocket.owner(of: path)?.pid ?? LockFile.holder(self.lockPath(path))
        let owner = pid.map { "pid \($0)" } ?? "another process"
        return Refusal(
            description: "socket path \(path): \(owner) listens on it already; stop it with "
                + "`supervisor stop --socket \(path)`, or choose another --socket")
    }

    private static func removeStaleSocket(_ path: String) throws(Refusal) {
        var info = stat()
        guard lstat(path, &info) == 0 else { return }
        guard info.st_mode & S_IFMT == S_IFSOCK else {
            throw Refusal(description: "socket path \(path): it exists and is no socket; it is left as it is")
        }
        guard UnixSocket.owner(of: path) == nil else { throw self.refuseLive(path) }
        guard unlink(path) == 0 else {
            throw Refusal(description: "socket path \(path): \(SystemError("unlink"))")
        }
    }

    /// The next waiting connection, which does not block.
    enum Accepted: ~Copyable {
        case connection(FileDescriptor)
        case none
        case failed(SystemError)
    }

    func accept() -> Accepted {
        let flags = Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let raw = retryingInterrupts { accept4(self.descriptor.raw, nil, nil, flags) }
        if raw >= 0 { return .connection(FileDescriptor(owning: raw)) }
        // A client that gave up before it was accepted is nobody's error.
        return errno == EAGAIN || errno == ECONNABORTED ? .none : .failed(SystemError("accept4"))
    }

    /// Removes the socket file and gives the lock back.
    consuming func close() {}

    // Also where it is not closed by name: a start that fails later leaves no file behind. The body runs before the
    // lock is given back.
    deinit { unlink(self.path) }
}
