import Glibc

/// A file that one process at a time holds locked, with its pid in it; gone when it is given back.
///
/// A holder that is killed leaves the file and loses the lock: the next one takes it.
struct LockFile: ~Copyable {
    /// Why a lock is not to be had.
    enum Refusal: Error {
        /// By a process of this pid, where it can be read.
        case held(by: Int32?)
        case failed(SystemError)
    }

    private let path: String
    private let descriptor: FileDescriptor

    static func take(_ path: String) throws(Refusal) -> LockFile {
        while true {
            let lock = try self.open(path)
            guard flock(lock.raw, LOCK_EX | LOCK_NB) == 0 else {
                let error = SystemError("flock \(path)")
                throw error.number == EWOULDBLOCK ? .held(by: self.holder(path)) : .failed(error)
            }
            // The last holder removes the file while it holds the lock: one that is gone locks nothing.
            guard let held = try? lock.status(), let named = FileStatus(ofPath: path),
                held.isSameFile(as: named)
            else { continue }
            ftruncate(lock.raw, 0)
            let text = Array("\(getpid())\n".utf8)
            _ = text.withUnsafeBytes { lock.write($0) }
            return LockFile(path: path, descriptor: lock)
        }
    }

    private static func open(_ path: String) throws(Refusal) -> FileDescriptor {
        do throws(SystemError) {
            return try FileDescriptor(opening: path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        } catch {
            throw .failed(error)
        }
    }

    private init(path: String, descriptor: consuming FileDescriptor) {
        self.path = path
        self.descriptor = descriptor
    }

    // The body runs before the descriptor is closed: the file goes while the lock is still held.
    deinit { unlink(self.path) }

    /// The pid that its holder wrote into a lock file.
    static func holder(_ path: String) -> Int32? {
        guard let file = try? FileDescriptor(opening: path, O_RDONLY) else { return nil }
        var buffer = [UInt8](repeating: 0, count: 16)
        guard case .bytes(let count) = buffer.withUnsafeMutableBytes({ file.read(into: $0) }) else {
            return nil
        }
        return Int32(String(decoding: buffer.prefix(count).prefix { $0 != 0x0A }, as: UTF8.self))
    }
}
