import Glibc

/// The worker's output: whole messages from any thread, in one stream.
///
/// The first to append while nobody writes becomes the writer, and writes for everyone who appends in the
/// meantime: many short answers go out with one system call, and no thread waits for another's write.
final class OutputBuffer: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var isWriting = false
    }

    /// Unwritten bytes beyond which the reader of requests should wait.
    static let highWatermark = 8 << 20

    private let state = Locked(State())
    private let descriptor: Int32
    private let onBrokenPipe: @Sendable () -> Void

    /// - Parameter onBrokenPipe: called when nobody reads any more; what was to be written is dropped.
    init(descriptor: Int32, onBrokenPipe: @escaping @Sendable () -> Void) {
        self.descriptor = descriptor
        self.onBrokenPipe = onBrokenPipe
    }

    var isOverfull: Bool { self.state.withLock { $0.pending.count > Self.highWatermark } }

    /// Appends a message and its line end.
    func write(line: [UInt8]) {
        let becomesWriter = self.state.withLock { state in
            state.pending.append(contentsOf: line)
            state.pending.append(0x0A)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        guard becomesWriter else { return }
        while let bytes = self.takePending() {
            guard self.writeAll(bytes) else {
                self.onBrokenPipe()
                return
            }
        }
    }

    /// What is to be written; nil, and nobody is the writer any more, when there is nothing.
    private func takePending() -> [UInt8]? {
        self.state.withLock { state in
            guard !state.pending.isEmpty else {
                state.isWriting = false
                return nil
            }
            var taken: [UInt8] = []
            swap(&taken, &state.pending)
            return taken
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
