import Glibc

/// A system call that failed: what was tried, on what, and why.
struct SystemError: Error, Equatable, CustomStringConvertible {
    var operation: String
    var path: String
    var code: Int32

    /// - Parameter code: `errno`, read right after the call.
    init(_ operation: String, _ path: String, _ code: Int32 = errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    var reason: String { String(cString: strerror(self.code)) }
    var description: String { "cannot \(self.operation) \(self.path): \(self.reason)" }
}

/// An open file, closed when it goes.
struct FileDescriptor: ~Copyable {
    let rawValue: Int32

    init(opening path: String, _ flags: Int32, mode: mode_t = 0o644) throws(SystemError) {
        let descriptor = open(path, flags | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw SystemError("open", path) }
        self.rawValue = descriptor
    }

    deinit { close(self.rawValue) }
}

/// What tells one state of a file from another.
struct FileStatus: Equatable {
    enum Kind: Equatable { case regular, directory, symbolicLink, other }

    var kind: Kind
    var device: UInt64
    var inode: UInt64
    var size: Int
    /// Nanoseconds since 1970.
    var modified: Int64

    fileprivate init(_ status: stat) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: self.kind = .regular
        case S_IFDIR: self.kind = .directory
        case S_IFLNK: self.kind = .symbolicLink
        default: self.kind = .other
        }
        self.device = UInt64(status.st_dev)
        self.inode = UInt64(status.st_ino)
        self.size = Int(status.st_size)
        self.modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    }
}

/// The few file operations that the index needs, with errors that can be shown.
enum FileSystem {
    static func status(of path: String, followingLinks: Bool = true) throws(SystemError) -> FileStatus {
        var status = stat()
        let result = followingLinks ? stat(path, &status) : lstat(path, &status)
        guard result == 0 else { throw SystemError("read", path) }
        return FileStatus(status)
    }

    static func status(of file: borrowing FileDescriptor, path: String) throws(SystemError) -> FileStatus {
        var status = stat()
        guard fstat(file.rawValue, &status) == 0 else { throw SystemError("read", path) }
        return FileStatus(status)
    }

    static func contents(of path: String) throws(SystemError) -> [UInt8] {
        let file = try FileDescriptor(opening: path, O_RDONLY)
        let expected = try self.status(of: file, path: path).size
        var bytes: [UInt8] = []
        var failure: SystemError?
        while failure == nil {
            let before = bytes.count
            let room = max(expected - before, 0) + 4096
            bytes.append(addingCapacity: room) { output in
                output.withUnsafeMutableBufferPointer { buffer, initialized in
                    var count = read(file.rawValue, buffer.baseAddress, room)
                    while count < 0, errno == EINTR { count = read(file.rawValue, buffer.baseAddress, room) }
                    if count < 0 { failure = SystemError("read", path) }
                    initialized = max(count, 0)
                }
            }
            if bytes.count == before { break }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The names in a directory, without `.` and `..`, in byte order.
    static func names(in path: String) throws(SystemError) -> [String] {
        guard let directory = opendir(path) else { throw SystemError("list", path) }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Writes parts to a new file, in order, and waits until they are on the disk.
    static func write(_ parts: [[UInt8]], to path: String) throws(SystemError) {
        let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC)
        for part in parts {
            var written = 0
            while written < part.count {
                let count = part.withUnsafeBytes { bytes in
                    Glibc.write(file.rawValue, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                }
                if count < 0, errno == EINTR { continue }
                guard count >= 0 else { throw SystemError("write", path) }
                written += count
            }
        }
        guard fsync(file.rawValue) == 0 else { throw SystemError("flush", path) }
    }

    /// Gives a finished file its name, atomically, and makes the name durable.
    static func publish(_ temporary: String, as path: String, in directory: String) throws(SystemError) {
        guard rename(temporary, path) == 0 else { throw SystemError("rename", temporary) }
        let handle = try FileDescriptor(opening: directory, O_RDONLY | O_DIRECTORY)
        guard fsync(handle.rawValue) == 0 else { throw SystemError("flush", directory) }
    }

    /// Makes a directory and those above it that are missing.
    static func makeDirectories(_ path: String) throws(SystemError) {
        if mkdir(path, 0o755) == 0 { return }
        let code = errno
        if code == EEXIST {
            guard try self.status(of: path).kind == .directory else {
                throw SystemError("make the directory", path, ENOTDIR)
            }
            return
        }
        guard code == ENOENT, let slash = path.lastIndex(of: "/"), slash != path.startIndex else {
            throw SystemError("make the directory", path, code)
        }
        try self.makeDirectories(String(path[..<slash]))
        guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
            throw SystemError("make the directory", path)
        }
    }

    /// Makes a directory of a new name that only this user can enter, in $TMPDIR or /tmp.
    static func makeTemporaryDirectory(prefix: String) throws(SystemError) -> String {
        let parent = ProcessEnvironment()["TMPDIR"] ?? "/tmp"
        var template = Array(self.join(parent, prefix + "XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("make a directory in", parent) }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Joins a path and what is below it: `docs/` and `a.md` are `docs/a.md`.
    static func join(_ path: String, _ name: String) -> String {
        path.hasSuffix("/") ? path + name : path + "/" + name
    }
}
