import Glibc
import Protocol

/// A worker's process as the shell sees it: three pipes and a pidfd.
final class WorkerPipes {
    let token: WorkerToken
    let pid: Int32
    let workerID: String
    let pidfd: FileDescriptor
    private(set) var input: FileDescriptor?
    let output: FileDescriptor
    let errors: FileDescriptor

    var exitRegistration: EventLoop<Source>.Registration?
    var outputRegistration: EventLoop<Source>.Registration?
    var errorsRegistration: EventLoop<Source>.Registration?
    /// Set while a write has not gone through.
    private var inputRegistration: EventLoop<Source>.Registration?

    var decoder: FrameDecoder
    var toWorker = MessageBuffer()
    var isDirty = false
    /// End its stdin once what waits is written.
    var closesInputWhenFlushed = false
    var errorLines = LineCollector()
    /// The last sample, for the share of a processor since then.
    var lastSample: (at: Instant, processorTime: Nanoseconds, usage: ResourceUsage)?
    let startedAt: Instant

    init(_ process: consuming SpawnedProcess, _ request: SpawnRequest, limits: MessageLimits, now: Instant) {
        self.token = request.worker
        self.workerID = request.workerID
        self.pid = process.pid
        self.startedAt = now
        self.decoder = FrameDecoder(framing: .lines, limits: limits)
        self.pidfd = process.pidfd
        self.input = .some(process.input)
        self.output = process.output
        self.errors = process.errors
    }

    /// Appends one message and its line end.
    ///
    /// - Parameter owner: what its payload lies in, where that may be kept in place of a copy.
    func append(_ message: some OutgoingMessage, keeping owner: LargePayload?) {
        self.toWorker.append(line: message, keeping: owner)
    }

    /// Writes what waits. What does not fit is written when the pipe has room.
    ///
    /// - Returns: false when nothing can be written to it any more.
    func flush(in loop: EventLoop<Source>) -> Bool {
        self.isDirty = false
        while !self.toWorker.isEmpty {
            guard let outcome = self.writeOnce() else { return true }
            switch outcome {
            case .bytes(let count): self.toWorker.drop(count)
            case .wouldBlock:
                self.waitForRoom(in: loop)
                return true
            case .ended, .failed:
                self.closeInput(in: loop)
                return false
            }
        }
        self.stopWaiting(in: loop)
        if self.closesInputWhenFlushed { self.closeInput(in: loop) }
        return true
    }

    /// nil when its stdin is closed.
    private func writeOnce() -> Transfer? {
        guard self.input != nil else {
            self.toWorker.removeAll()
            return nil
        }
        return self.toWorker.withUnsent { self.input?.write($0) }
    }

    private func waitForRoom(in loop: EventLoop<Source>) {
        guard self.inputRegistration == nil, self.input != nil else { return }
        self.inputRegistration = self.registerInput(in: loop)
    }

    private func registerInput(in loop: EventLoop<Source>) -> EventLoop<Source>.Registration? {
        guard let taken = self.input.take() else { return nil }
        let registration = try? loop.register(taken, for: .writing, as: .workerInput(self.token))
        self.input = consume taken
        return registration
    }

    private func stopWaiting(in loop: EventLoop<Source>) {
        guard let registration = self.inputRegistration, let taken = self.input.take() else { return }
        loop.deregister(taken, registration)
        self.input = consume taken
        self.inputRegistration = nil
    }

    func closeInput(in loop: EventLoop<Source>) {
        self.stopWaiting(in: loop)
        self.toWorker.removeAll()
        if let taken = self.input.take() { taken.close() }
    }
}

/// Cuts stderr into lines for the log, and keeps the last of it.
struct LineCollector {
    /// How much of the end is kept for status and errors.
    static let tailBytes = 64 * 1024
    /// A longer line comes in pieces, each with room for the rest of its line in the log.
    static let pieceBytes = Excerpt.lineBytes - 1024

    private var unfinished: [UInt8] = []
    private var tail: [UInt8] = []

    /// Takes what was read, and visits the lines that it completes.
    mutating func take(_ bytes: UnsafeRawBufferPointer, _ line: (UnsafeRawBufferPointer) -> Void) {
        self.tail.append(contentsOf: bytes)
        if self.tail.count > 2 * Self.tailBytes { self.tail.removeFirst(self.tail.count - Self.tailBytes) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(max(1, Self.pieceBytes - self.unfinished.count))
            if let end = Self.lineBreak(in: piece) {
                self.unfinished.append(contentsOf: rest[..<end])
                rest = rest[(end + 1)...]
                self.emit(line)
            } else if self.unfinished.count >= Self.pieceBytes {
                self.emit(line)
            } else {
                self.unfinished.append(contentsOf: piece)
                rest = rest[piece.endIndex...]
            }
        }
    }

    private static func lineBreak(in bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
        let base = bytes.base.baseAddress
        guard let base, let found = memchr(base + bytes.startIndex, 0x0A, bytes.count) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    /// The end of the stream: what is left is a line.
    mutating func finish(_ line: (UnsafeRawBufferPointer) -> Void) { self.emit(line) }

    private mutating func emit(_ line: (UnsafeRawBufferPointer) -> Void) {
        if self.unfinished.last == 0x0D { self.unfinished.removeLast() }
        if !self.unfinished.isEmpty { self.unfinished.withUnsafeBytes(line) }
        self.unfinished.removeAll(keepingCapacity: true)
    }

    /// The last lines, at most 64 KiB, with invalid UTF-8 repaired.
    var tailText: String {
        let bytes = self.tail.suffix(Self.tailBytes)
        return String(decoding: bytes, as: UTF8.self)
    }
}
