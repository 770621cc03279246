import Glibc

/// A file mapped read-only and shared: all workers see the same pages of the page cache.
///
/// Safe as long as nobody shortens the file: published indexes are never written again, only replaced and
/// unlinked, and an unlinked file lives as long as its mappings.
final class MappedFile: @unchecked Sendable {
    // @unchecked: the memory is never written, and the pointer never changes.
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws(SystemError) {
        let file = try FileDescriptor(opening: path, O_RDONLY)
        let size = try FileSystem.status(of: file, path: path).size
        guard size > 0 else {
            self.bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        let address = mmap(nil, size, PROT_READ, MAP_SHARED, file.rawValue, 0)
        guard let address, address != MAP_FAILED else { throw SystemError("map", path) }
        self.bytes = UnsafeRawBufferPointer(start: address, count: size)
    }

    deinit {
        guard let address = self.bytes.baseAddress else { return }
        munmap(UnsafeMutableRawPointer(mutating: address), self.bytes.count)
    }
}
