import Glibc

/// The directory an index is published in.
///
///     DIR/CURRENT                   the name of the file in force, and a line feed
///     DIR/index.<generation>        an index file; older ones go when a newer one is in force
///     DIR/….tmp                     unfinished
///     DIR/LOCK                      held by the process that makes an index
///
/// Publication is two renames: first the index gets its name, then `CURRENT` is replaced. Whoever
/// reads `CURRENT` finds a finished file at every moment, also after a power failure, since files and directory
/// are flushed before and after.
struct IndexDirectory {
    let path: String

    private static let currentName = "CURRENT"
    private static let filePrefix = "index."
    private static let temporarySuffix = ".tmp"

    /// What tells one publication from the next: cheap enough to be asked for on a request.
    func publication() -> FileStatus? {
        try? FileSystem.status(of: self.currentPath)
    }

    /// Opens the index in force.
    func open() throws(IndexError) -> SearchIndex {
        // The file named may be replaced between reading the name and opening it: then there is a new name.
        var failure = IndexError(reason: .missing, path: self.path)
        for _ in 0..<3 {
            let name = try self.currentName()
            do {
                return try SearchIndex(path: FileSystem.join(self.path, name))
            } catch {
                failure = error
                guard error.reason == .missing else { break }
            }
        }
        throw failure
    }

    /// Waits until no other process makes an index here; the lock goes with the descriptor.
    func lock() throws(SystemError) -> FileDescriptor {
        try FileSystem.makeDirectories(self.path)
        let path = FileSystem.join(self.path, "LOCK")
        let file = try FileDescriptor(opening: path, O_RDWR | O_CREAT)
        while flock(file.rawValue, LOCK_EX) != 0 {
            guard errno == EINTR else { throw SystemError("lock", path) }
        }
        return file
    }

    /// Puts an index in force and removes those before it, which workers may still have mapped: their memory stays
    /// valid until they let go of it.
    func publish(_ parts: [[UInt8]], generation: String) throws(SystemError) {
        let name = Self.filePrefix + generation
        try self.write(parts, as: name)
        try self.write([Array((name + "\n").utf8)], as: Self.currentName)
        for old in try FileSystem.names(in: self.path) where old != name && old.hasPrefix(Self.filePrefix) {
            unlink(FileSystem.join(self.path, old))
        }
    }

    private func write(_ parts: [[UInt8]], as name: String) throws(SystemError) {
        let file = FileSystem.join(self.path, name)
        let temporary = file + ".\(getpid())" + Self.temporarySuffix
        do {
            try FileSystem.write(parts, to: temporary)
            try FileSystem.publish(temporary, as: file, in: self.path)
        } catch {
            unlink(temporary)
            throw error
        }
    }

    private var currentPath: String { FileSystem.join(self.path, Self.currentName) }

    private func currentName() throws(IndexError) -> String {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.contents(of: self.currentPath)
        } catch {
            let isMissing = error.code == ENOENT || error.code == ENOTDIR
            throw IndexError(reason: isMissing ? .missing : .unreadable(error.reason), path: self.path)
        }
        let name = String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
        guard name.hasPrefix(Self.filePrefix), !name.utf8.contains(UInt8(ascii: "/")), name.utf8.count < 128
        else {
            throw IndexError(reason: .corrupt("CURRENT names no index"), path: self.path)
        }
        return name
    }
}
