import Glibc

/// Regular files: opened, read at a place, written whole.
///
/// A regular file never says that it would block: these calls wait for the disk, so what is read or written at once
/// is kept small.
extension FileDescriptor {
    /// Opens a file, close-on-exec; a FIFO without another end and a terminal do no harm.
    init(opening path: String, _ flags: Int32, mode: mode_t = 0) throws(SystemError) {
        let raw = retryingInterrupts {
            Glibc.open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode)
        }
        guard raw >= 0 else { throw SystemError("open \(path)") }
        self.init(owning: raw)
    }

    func status() throws(SystemError) -> FileStatus {
        var info = stat()
        guard fstat(self.raw, &info) == 0 else { throw SystemError("fstat") }
        return FileStatus(info)
    }

    /// Reads from a place in the file.
    ///
    /// - Returns: bytes read, fewer than the buffer has only at the end of the file.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = retryingInterrupts {
                pread(
                    self.raw, buffer.baseAddress?.advanced(by: filled), buffer.count - filled,
                    off_t(offset) + filled)
            }
            guard count >= 0 else { throw SystemError("read") }
            guard count > 0 else { break }
            filled += count
        }
        return filled
    }

    func writeAll(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var written = 0
        while written < bytes.count {
            let count = retryingInterrupts {
                Glibc.write(self.raw, bytes.baseAddress?.advanced(by: written), bytes.count - written)
            }
            guard count >= 0 else { throw SystemError("write") }
            // POSIX allows it to write nothing and name no error.
            guard count > 0 else { throw SystemError("write", ENOSPC) }
            written += count
        }
    }

    /// Waits until what was written is on the disk.
    func synchronize() throws(SystemError) {
        // Some file systems cannot, and do it anyway, for directories.
        guard fsync(self.raw) == 0 || errno == EINVAL else { throw SystemError("fsync") }
    }
}

/// What kind of file it is, how long, and which.
struct FileStatus: Equatable {
    var isRegular: Bool
    var size: Int64
    var permissions: UInt32
    var owner: UInt32
    var group: UInt32
    private var device: UInt64
    private var inode: UInt64

    init(_ info: stat) {
        self.isRegular = info.st_mode & S_IFMT == S_IFREG
        self.size = Int64(info.st_size)
        self.permissions = info.st_mode & 0o777
        self.owner = info.st_uid
        self.group = info.st_gid
        self.device = UInt64(info.st_dev)
        self.inode = UInt64(info.st_ino)
    }

    /// Of what stands at a path, a link itself; nil when nothing can be seen there.
    init?(ofPath path: String) {
        var info = stat()
        guard lstat(path, &info) == 0 else { return nil }
        self.init(info)
    }

    /// Of what standard output or error goes to, by its number; nil when it is closed.
    init?(ofStandard number: Int32) {
        var info = stat()
        guard fstat(number, &info) == 0 else { return nil }
        self.init(info)
    }

    /// Whether both are of one file, whatever its length.
    func isSameFile(as other: FileStatus) -> Bool {
        self.device == other.device && self.inode == other.inode
    }
}

enum FilePath {
    /// As many as the kernel follows.
    private static let linkLimit = 40

    /// The directory part of a path.
    static func directory(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// The path that a symbolic link leads to, also when nothing is there yet; any other path as it is.
    static func resolvingLinks(_ path: String) throws(SystemError) -> String {
        var path = path
        for _ in 0..<Self.linkLimit {
            var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
            let count = readlink(path, &buffer, buffer.count)
            guard count >= 0 else {
                guard errno == EINVAL || errno == ENOENT else { throw SystemError("readlink \(path)") }
                return path
            }
            let bytes = buffer.prefix(count).map { UInt8(bitPattern: $0) }
            guard let target = String(validating: bytes, as: UTF8.self) else {
                throw SystemError("readlink \(path)", EILSEQ)
            }
            path = target.hasPrefix("/") ? target : "\(self.directory(of: path))/\(target)"
        }
        throw SystemError("readlink \(path)", ELOOP)
    }
}
