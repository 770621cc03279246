import Glibc

/// A file of /proc that is read again and again: the kernel writes it anew at each read from its beginning, so that
/// the descriptor is kept.
final class KernelFile: Sendable {
    private let file: FileDescriptor
    private let path: String

    init(path: String) throws(SystemError) {
        self.file = try FileDescriptor(opening: path, O_RDONLY)
        self.path = path
    }

    /// What it holds now, as far as `limit` bytes reach.
    func contents(limit: Int) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](capacity: limit) { output in
            output.withUnsafeMutableBufferPointer { buffer, initialized in
                repeat {
                    initialized = pread(self.file.rawValue, buffer.baseAddress, limit, 0)
                } while initialized < 0 && errno == EINTR
                guard initialized < 0 else { return }
                failure = SystemError("read", self.path)
                initialized = 0
            }
        }
        if let failure { throw failure }
        return bytes
    }
}
