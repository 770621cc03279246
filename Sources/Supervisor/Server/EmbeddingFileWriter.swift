import Glibc
import Protocol

/// Writes a cache file anew, beside the old one, and puts it in its place when it is whole.
///
///     var writer = try EmbeddingFileWriter(lock)
///     try writer.append(kind: 1, key: key, value: value, storedAt: milliseconds)    as often as there are entries
///     try writer.commit(durably: false)
///
/// Until then the old file stands as it was, whatever fails. When the writer goes without a commit, so does what it
/// has written; what a killed one left (`path.tmp`) makes way for the next.
struct EmbeddingFileWriter: ~Copyable {
    /// Written at once: what the loop may wait for a disk.
    private static let bufferBytes = 64 * 1024

    private let path: String
    private let temporary: String
    private let file: FileDescriptor
    private var buffer: [UInt8] = []
    private var records: UInt64 = 0
    /// Of the file so far, with what is in the buffer.
    private var length: UInt64 = 0
    private var checksum = XXHash64()
    /// After it nothing is written any more.
    private var failure: SystemError?

    init(_ lock: borrowing EmbeddingFileLock) throws(SystemError) {
        self.path = lock.path
        self.temporary = "\(lock.path).tmp"
        // The lock says that nobody writes it now.
        unlink(self.temporary)
        self.file = try FileDescriptor(
            opening: self.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600)
        self.buffer.reserveCapacity(Self.bufferBytes)
        self.buffer.append(contentsOf: EmbeddingFile.magic)
        self.buffer.append(integer: EmbeddingFile.version)
        self.buffer.append(integer: UInt32(0))
        self.length = UInt64(self.buffer.count)
        self.buffer.withUnsafeBytes { self.checksum.update($0) }
    }

    deinit { if self.isTemporaryOurs { unlink(self.temporary) } }

    /// - Parameters:
    ///   - kind: is given back as it is.
    ///   - key: of less than 4 GiB, as is the value.
    ///   - storedAt: milliseconds since 1970.
    mutating func append(
        kind: UInt8, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, storedAt: Int64
    ) throws(SystemError) {
        if self.buffer.count + EmbeddingFile.recordHeaderBytes > Self.bufferBytes { try self.flush() }
        let start = self.buffer.count
        self.buffer.append(integer: UInt64(0))
        self.buffer.append(integer: storedAt)
        self.buffer.append(integer: UInt32(key.count))
        self.buffer.append(integer: UInt32(value.count))
        self.buffer.append(kind)
        self.buffer.withUnsafeMutableBytes { buffer in
            var checksum = XXHash64()
            checksum.update(UnsafeRawBufferPointer(rebasing: buffer[(start + 8)...]))
            checksum.update(key)
            checksum.update(value)
            buffer.storeBytes(of: checksum.value.littleEndian, toByteOffset: start, as: UInt64.self)
            self.checksum.update(UnsafeRawBufferPointer(rebasing: buffer[start..<(start + 8)]))
        }
        self.records += 1
        self.length += UInt64(EmbeddingFile.recordHeaderBytes + key.count + value.count)
        try self.put(key)
        try self.put(value)
    }

    /// Puts the file in place of the old one.
    ///
    /// - Parameter durably: returns when it would survive a power failure. Without, such a failure may cost the
    ///   snapshot, which its checksums then show.
    consuming func commit(durably: Bool) throws(SystemError) {
        self.length += UInt64(EmbeddingFile.trailerBytes)
        if self.buffer.count + EmbeddingFile.trailerBytes > Self.bufferBytes { try self.flush() }
        let start = self.buffer.count
        self.buffer.append(integer: self.records)
        self.buffer.append(integer: self.length)
        self.buffer.withUnsafeBytes {
            self.checksum.update(UnsafeRawBufferPointer(rebasing: $0[start...]))
        }
        self.buffer.append(integer: self.checksum.value)
        try self.flush()
        if durably { try self.file.synchronize() }
        try self.replace()
        if durably {
            let directory = FilePath.directory(of: self.path)
            try FileDescriptor(opening: directory, O_RDONLY | O_DIRECTORY).synchronize()
        }
    }

    /// Leaves the old file and forgets what was written.
    consuming func abandon() {}

    private func replace() throws(SystemError) {
        guard self.isTemporaryOurs else { throw SystemError("rename \(self.temporary)", ENOENT) }
        guard FileStatus(ofPath: self.path)?.isRegular ?? true else {
            throw SystemError("rename to \(self.path), which is no regular file", EINVAL)
        }
        guard rename(self.temporary, self.path) == 0 else { throw SystemError("rename \(self.temporary)") }
    }

    /// Somebody may have taken the lock file away, and another supervisor then begun a file of its own.
    private var isTemporaryOurs: Bool {
        guard let written = try? self.file.status(), let named = FileStatus(ofPath: self.temporary) else {
            return false
        }
        return written.isSameFile(as: named)
    }

    private mutating func put(_ bytes: UnsafeRawBufferPointer) throws(SystemError) {
        var position = 0
        while position < bytes.count {
            let end = min(bytes.count, position + Self.bufferBytes - self.buffer.count)
            self.buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[position..<end]))
            position = end
            if self.buffer.count == Self.bufferBytes { try self.flush() }
        }
    }

    private mutating func flush() throws(SystemError) {
        if let failure = self.failure { throw failure }
        do throws(SystemError) {
            try self.buffer.span.bytes.withUnsafeBytes { bytes throws(SystemError) in
                try self.file.writeAll(bytes)
            }
        } catch {
            let failure = SystemError("\(error.call) \(self.temporary)", error.number)
            self.failure = failure
            throw failure
        }
        self.buffer.removeAll(keepingCapacity: true)
    }
}

extension [UInt8] {
    fileprivate mutating func append(integer: some FixedWidthInteger & BitwiseCopyable) {
        Swift.withUnsafeBytes(of: integer.littleEndian) { self.append(contentsOf: $0) }
    }
}
