import Glibc

/// Notices a new index when it is published, also while nobody asks anything: a supervisor may answer all questions
/// from its cache, and goes on doing so until it hears of another epoch.
///
/// A thread waits for the kernel to tell that a file was renamed into the directory (inotify), and costs nothing
/// until then. A directory that does not exist yet is looked for once a second.
enum IndexWatch {
    private static let retrySeconds: UInt32 = 1
    private static let bufferBytes = 4096
    private static let ends = UInt32(IN_IGNORED) | UInt32(IN_DELETE_SELF) | UInt32(IN_MOVE_SELF)
    private static let changes = UInt32(IN_MOVED_TO) | Self.ends

    /// - Parameter look: called on the watching thread whenever the directory has changed.
    /// - Returns: false when there is no thread to be had: a new index is then noticed by the next request.
    @discardableResult
    static func start(_ directory: IndexDirectory, look: @escaping @Sendable () -> Void) -> Bool {
        let path = directory.path
        return DetachedThread.start {
            while true {
                Self.watch(path, look)
                sleep(Self.retrySeconds)
            }
        }
    }

    /// Returns when the directory is not there, or is there no more.
    private static func watch(_ path: String, _ look: () -> Void) {
        let queue = inotify_init1(Int32(IN_CLOEXEC))
        guard queue >= 0 else { return }
        defer { close(queue) }
        guard inotify_add_watch(queue, path, Self.changes | UInt32(IN_ONLYDIR)) >= 0 else { return }
        // What was published before the watch began.
        look()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.bufferBytes, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let count = read(queue, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            look()
            if self.isEnded(UnsafeRawBufferPointer(rebasing: buffer[..<count])) { return }
        }
    }

    /// Whether the watch itself is over: the directory was removed or has another name now.
    private static func isEnded(_ events: UnsafeRawBufferPointer) -> Bool {
        let header = MemoryLayout<inotify_event>.size
        var offset = 0
        while offset + header <= events.count {
            let event = events.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
            if event.mask & Self.ends != 0 { return true }
            offset += header + Int(event.len)
        }
        return false
    }
}
