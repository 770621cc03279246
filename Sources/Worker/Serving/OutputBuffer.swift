import Glibc

/// The worker's output: whole messages from any thread, in one stream.
///
/// The first to flush while nobody writes becomes the writer, and writes for everyone who appends in the
/// meantime: many short answers go out with one system call, and no thread waits for another's write. Whoever
/// appends flushes before it waits for anything, so that no answer waits for what comes next.
final class OutputBuffer: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var isWriting = false
    }

    /// Unwritten bytes beyond which the reader of requests should wait.
    static let highWatermark = 8 << 20
    /// What an append leaves to the next flush at most: as much as a pipe takes at once.
    private static let flushBytes = 64 << 10
    /// Memory that is kept for the next write; what a larger message needed is given back.
    private static let keptBytes = 256 << 10

    private let state = Locked(State())
    private let descriptor: Int32
    private let onBrokenPipe: @Sendable () -> Void

    /// - Parameter onBrokenPipe: called when nobody reads any more; what was to be written is dropped.
    init(descriptor: Int32, onBrokenPipe: @escaping @Sendable () -> Void) {
        self.descriptor = descriptor
        self.onBrokenPipe = onBrokenPipe
    }

    var isOverfull: Bool { self.state.withLock { $0.pending.count > Self.highWatermark } }

    /// Appends a message and its line end, and writes.
    func write(line: [UInt8]) {
        self.append(line: line)
        self.flush()
    }

    /// Appends a message and its line end; they go out with the next flush, or at once when much has gathered.
    func append(line: [UInt8]) {
        let gathered = self.state.withLock { state in
            state.pending.append(contentsOf: line)
            state.pending.append(0x0A)
            return state.pending.count
        }
        if gathered >= Self.flushBytes { self.flush() }
    }

    /// Writes what has gathered, unless another thread does.
    func flush() {
        var bytes: [UInt8] = []
        var isWriter = false
        while self.takePending(&bytes, isWriter: isWriter) {
            isWriter = true
            guard self.writeAll(bytes) else {
                self.onBrokenPipe()
                return
            }
        }
    }

    /// Exchanges what was written for what is to be written.
    ///
    /// - Returns: false when another is the writer, or when there is nothing, and nobody is the writer any more.
    private func takePending(_ bytes: inout [UInt8], isWriter: Bool) -> Bool {
        self.state.withLock { state in
            guard isWriter || !state.isWriting else { return false }
            state.isWriting = !state.pending.isEmpty
            bytes.removeAll(keepingCapacity: true)
            // With nothing to write this gives the memory back.
            guard state.isWriting || (isWriter && bytes.capacity <= Self.keptBytes) else { return false }
            swap(&bytes, &state.pending)
            return state.isWriting
        }
    }

    private func writeAll(_ bytes: [UInt8]) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(self.descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if count > 0 {
                written += count
            } else if errno == EAGAIN {
                // Whoever gave us the pipe made it non-blocking: wait for room.
                var wait = pollfd(fd: self.descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&wait, 1, -1)
            } else if errno != EINTR {
                return false
            }
        }
        return true
    }
}
