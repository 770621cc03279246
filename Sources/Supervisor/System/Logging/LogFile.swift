import Glibc

/// The file that the log is appended to, and that makes place for a new one when it has reached its size.
///
/// Only a regular file that is the log's alone is rotated: no pipe, terminal, socket or device, and none that standard
/// output or error goes to as well. What it is told to write are whole lines, and a line is never cut in two by a
/// rotation.
final class LogFile {
    /// How long after a rotation that failed the next one is tried.
    private static let rotationRetry = Nanoseconds.seconds(10)

    /// Bytes at which it is rotated.
    private let limit: Int64
    private var descriptor: FileDescriptor
    private var size: Int64
    /// A write took only part of a line.
    private(set) var isMidLine = false
    /// Who wrote to it before was cut off within a line: that one has to be ended first.
    private var owesLineBreak: Bool
    /// nil: it is never rotated.
    let archive: LogArchive?
    /// Set while it cannot be rotated.
    private var retryAt: Instant?
    private var failure: SystemError?
    /// An old file may be there to be compressed.
    var mayCompress: Bool

    init(_ path: String, rotatingAt limit: Int64, keep: Int) throws(SystemError) {
        let descriptor = try Self.open(path)
        let info = try descriptor.status()
        self.limit = limit
        self.size = info.size
        self.archive = Self.isRotated(info) ? LogArchive(path: Self.resolve(path), keep: keep) : nil
        self.owesLineBreak = Self.endsMidLine(path, info)
        self.mayCompress = self.archive != nil
        self.descriptor = descriptor
    }

    var isTerminal: Bool { isatty(self.descriptor.raw) == 1 }

    private static func open(_ path: String) throws(SystemError) -> FileDescriptor {
        let flags = O_CREAT | O_APPEND
        do throws(SystemError) {
            return try FileDescriptor(opening: path, O_WRONLY | flags, mode: 0o640)
        } catch {
            // A named pipe that nobody reads yet can only be opened for both.
            guard error.number == ENXIO else { throw error }
            return try FileDescriptor(opening: path, O_RDWR | flags, mode: 0o640)
        }
    }

    private static func isRotated(_ info: FileStatus) -> Bool {
        info.isRegular && ![1, 2].contains { FileStatus(ofStandard: $0)?.isSameFile(as: info) == true }
    }

    /// A link stays, and the file it leads to is rotated where that is.
    private static func resolve(_ path: String) -> String {
        guard let resolved = realpath(path, nil) else { return path }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func endsMidLine(_ path: String, _ info: FileStatus) -> Bool {
        guard info.isRegular, info.size > 0 else { return false }
        guard let file = try? FileDescriptor(opening: path, O_RDONLY) else { return false }
        var last: UInt8 = 0
        let count = try? withUnsafeMutableBytes(of: &last) { try file.read(into: $0, at: info.size - 1) }
        return count == 1 && last != UInt8(ascii: "\n")
    }
}

// MARK: - Writing

extension LogFile {
    /// Writes what it takes without waiting: lines that fit, after a rotation where the next one does not.
    ///
    /// - Parameter bytes: lines; at first the rest of one, if a write took part of it.
    /// - Returns: how many bytes were written; 0 when none can be now.
    func write(_ bytes: UnsafeRawBufferPointer, at now: Instant) -> Int {
        guard self.endForeignLine() else { return 0 }
        let piece = self.piece(of: bytes, at: now)
        guard !piece.isEmpty, case .bytes(let count) = self.descriptor.write(piece), count > 0 else {
            return 0
        }
        self.size += Int64(count)
        self.isMidLine = piece[count - 1] != UInt8(ascii: "\n")
        return count
    }

    private func endForeignLine() -> Bool {
        guard self.owesLineBreak else { return true }
        let lineBreak = UInt8(ascii: "\n")
        guard withUnsafeBytes(of: lineBreak, { self.descriptor.write($0) }) == .bytes(1) else { return false }
        self.size += 1
        self.owesLineBreak = false
        return true
    }

    private func piece(of bytes: UnsafeRawBufferPointer, at now: Instant) -> UnsafeRawBufferPointer {
        guard let archive = self.archive else { return bytes }
        let line = Self.firstLine(of: bytes)
        if self.isMidLine { return UnsafeRawBufferPointer(rebasing: bytes[..<line]) }
        if self.size > 0, self.size + Int64(line) > self.limit, !self.rotate(archive, at: now),
            self.size + Int64(line) > 2 * self.limit
        {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        // What cannot be rotated may grow to twice its size.
        let limit = self.retryAt == nil ? self.limit : 2 * self.limit
        let room = Int(clamping: limit - self.size)
        return UnsafeRawBufferPointer(rebasing: bytes[..<max(line, Self.wholeLines(of: bytes, within: room))])
    }

    private static func firstLine(of bytes: UnsafeRawBufferPointer) -> Int {
        bytes.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? bytes.count
    }

    private static func wholeLines(of bytes: UnsafeRawBufferPointer, within room: Int) -> Int {
        guard bytes.count > room else { return bytes.count }
        return bytes[..<max(0, room)].lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
    }
}

// MARK: - Rotation

extension LogFile {
    /// - Returns: false when it goes on as it is.
    private func rotate(_ archive: LogArchive, at now: Instant) -> Bool {
        if let retryAt = self.retryAt, now < retryAt { return false }
        do throws(SystemError) {
            try self.startAnew(archive)
            self.retryAt = nil
            self.mayCompress = true
            return true
        } catch {
            if self.retryAt == nil { self.failure = error }
            self.retryAt = now.advanced(by: Self.rotationRetry)
            return false
        }
    }

    private func startAnew(_ archive: LogArchive) throws(SystemError) {
        let info = try self.descriptor.status()
        guard FileStatus(ofPath: archive.path)?.isSameFile(as: info) == true else {
            // Somebody has moved it already.
            let new = try Self.open(archive.path)
            self.size = try new.status().size
            self.descriptor = new
            return
        }
        // What may fail for want of room or rights comes first: then nothing has changed.
        let newPath = archive.successor
        let new = try FileDescriptor.create(newPath, like: info)
        try archive.push()
        guard rename(newPath, archive.path) == 0 else { throw SystemError("rename \(newPath)") }
        self.descriptor = new
        self.size = 0
    }

    /// Why it could not be rotated, once for each time that it began to fail.
    func takeFailure() -> SystemError? {
        defer { self.failure = nil }
        return self.failure
    }

    /// - Returns: where to look for an old file to compress; nil when nothing has happened since the last time.
    func takeArchiveToCompress() -> LogArchive? {
        guard self.mayCompress else { return nil }
        self.mayCompress = false
        return self.archive
    }
}

extension FileDescriptor {
    /// Opens an empty file for appending, with the owner and the permissions of another as far as may be.
    static func create(_ path: String, like info: FileStatus) throws(SystemError) -> FileDescriptor {
        let flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW
        let file = try FileDescriptor(opening: path, flags, mode: 0o640)
        // Where the log shipper's group reads it, it does so tomorrow as well. Not allowed: then it is ours.
        _ = fchown(file.raw, info.owner, info.group)
        _ = fchmod(file.raw, info.permissions)
        return file
    }
}
