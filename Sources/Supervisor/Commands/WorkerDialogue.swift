import Glibc
import Protocol

/// A worker on its own, spoken to line by line with a deadline for everything; for `supervisor check`.
struct WorkerDialogue: ~Copyable {
    /// A line on stdout that is no message.
    struct Noise {
        var line: String
        /// "before the first answer", "after 3 answers"
        var place: String
    }

    private let pid: Int32
    private let pidfd: FileDescriptor
    private var input: FileDescriptor?
    private let output: FileDescriptor
    private let errors: FileDescriptor
    private var decoder = FrameDecoder(framing: .lines)
    private var errorLines = LineCollector()
    private var replies: [UInt64: JSONValue] = [:]
    private var others: [JSONValue] = []
    private var answerCount = 0
    private(set) var noise: [Noise] = []
    /// It has sent a request or a notification.
    private(set) var wasAsked = false
    /// Its stdout has ended.
    private(set) var hasEnded = false

    init(_ process: consuming SpawnedProcess) {
        self.pid = process.pid
        self.pidfd = process.pidfd
        self.input = .some(process.input)
        self.output = process.output
        self.errors = process.errors
    }

    deinit {
        // Its group is killed before its pid is given back.
        kill(-self.pid, SIGKILL)
        _ = self.pidfd.wait(for: .seconds(5))
        _ = ChildExit.reap(self.pidfd)
    }

    var errorTail: String { self.errorLines.tailText }

    mutating func send(_ method: String, id: UInt64, params: String = "") {
        let tail = params.isEmpty ? "" : ",\"params\":\(params)"
        self.sendLine("{\"jsonrpc\":\"2.0\",\"id\":\(id),\"method\":\"\(method)\"\(tail)}")
    }

    mutating func cancel(_ id: UInt64) {
        self.sendLine("{\"jsonrpc\":\"2.0\",\"method\":\"$/cancelRequest\",\"params\":{\"id\":\(id)}}")
    }

    /// Writes a line; what the worker says meanwhile is read, so that neither waits for the other for ever.
    mutating func sendLine(_ line: String) {
        let bytes = Array("\(line)\n".utf8)
        let deadline = Clock.now.advanced(by: .seconds(10))
        var written = 0
        while written < bytes.count, Clock.now < deadline {
            guard let outcome = self.write(bytes, from: written) else { return }
            switch outcome {
            case .bytes(let count): written += count
            case .wouldBlock: self.listen(for: .milliseconds(5))
            case .ended, .failed: return
            }
        }
    }

    private func write(_ bytes: [UInt8], from start: Int) -> Transfer? {
        bytes.withUnsafeBytes { self.input?.write(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    }

    mutating func closeInput() {
        if let taken = self.input.take() { taken.close() }
    }

    /// The reply to the call of that number.
    mutating func reply(to number: UInt64, within patience: Nanoseconds) -> JSONValue? {
        let deadline = Clock.now.advanced(by: patience)
        while self.replies[number] == nil, !self.hasEnded, Clock.now < deadline {
            self.listen(for: deadline.duration(since: Clock.now))
        }
        return self.replies.removeValue(forKey: number)
    }

    /// Any message that is no reply to a call of ours.
    mutating func nextMessage(within patience: Nanoseconds) -> JSONValue? {
        let deadline = Clock.now.advanced(by: patience)
        while self.others.isEmpty, !self.hasEnded, Clock.now < deadline {
            self.listen(for: deadline.duration(since: Clock.now))
        }
        return self.others.isEmpty ? nil : self.others.removeFirst()
    }

    /// How it ended; nil when it has not.
    mutating func exitStatus(within patience: Nanoseconds) -> ExitStatus? {
        let deadline = Clock.now.advanced(by: patience)
        while !self.pidfd.wait(for: .milliseconds(10)) {
            guard Clock.now < deadline else { return nil }
            self.listen(for: 0)
        }
        self.listen(for: 0)
        return ChildExit.peek(self.pidfd)
    }

    // MARK: Reading

    /// Takes in what the worker says on both pipes, waiting for something at most that long.
    private mutating func listen(for patience: Nanoseconds) {
        var polls = [
            pollfd(fd: self.hasEnded ? -1 : self.output.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: self.errors.raw, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds = Int32(clamping: max(0, patience).millisecondsRoundedUp)
        guard retryingInterrupts({ poll(&polls, 2, min(milliseconds, 100)) }) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        if case .bytes(let count) = buffer.withUnsafeMutableBytes({ self.errors.read(into: $0) }) {
            buffer.withUnsafeBytes {
                self.errorLines.take(UnsafeRawBufferPointer(rebasing: $0[..<count])) { _ in }
            }
        }
        guard !self.hasEnded else { return }
        switch buffer.withUnsafeMutableBytes({ self.output.read(into: $0) }) {
        case .bytes(let count): self.take(Array(buffer[..<count]))
        case .wouldBlock: return
        case .ended, .failed: self.hasEnded = true
        }
    }

    private mutating func take(_ bytes: [UInt8]) {
        var offset = 0
        while let frame = bytes.withUnsafeBytes({ self.decoder.next(in: $0, from: &offset) }) {
            switch frame {
            case .input(let range): self.take(line: Array(bytes[range]))
            case .assembled: self.take(line: self.decoder.assembled)
            case .oversize, .unreadable: self.noteNoise("a line of over 10 MiB")
            }
        }
    }

    private mutating func take(line: [UInt8]) {
        let message = line.withUnsafeBytes { WorkerMessage.scan($0, limits: MessageLimits()) }
        switch message {
        case .result(let number, _), .error(let number, _):
            self.replies[number] = try? JSONValue(parsing: line)
            self.answerCount += 1
        case .request, .notification:
            self.wasAsked = true
            if let value = try? JSONValue(parsing: line) { self.others.append(value) }
        case .foreign:
            if let value = try? JSONValue(parsing: line) { self.others.append(value) }
        case .unreadable, .noise:
            self.noteNoise(String(decoding: line, as: UTF8.self))
        }
    }

    private mutating func noteNoise(_ line: String) {
        let place = self.answerCount == 0 ? "before the first answer" : "after \(self.answerCount) answers"
        self.noise.append(Noise(line: line, place: place))
    }
}
