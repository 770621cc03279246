import Glibc
import Protocol

/// Puts one round of load on a supervisor: one thread, one epoll loop, all connections.
struct LoadGenerator: ~Copyable {
    private enum Source {
        case connection(Int)
        case signals
    }

    private struct Connection {
        let socket: LoadSocket
        var registration: EventLoop<Source>.Registration
        var output = OutputBuffer()
        var decoder = FrameDecoder(framing: .lines, limits: LoadGenerator.limits)
        var waitsToWrite = false
        /// In the list of connections with something to send.
        var isDirty = false
    }

    /// Answers of any length are taken.
    private static let limits: MessageLimits = {
        var limits = MessageLimits()
        limits.messageBytes = .max / 4
        return limits
    }()

    private let plan: LoadPlan
    private let processes: MeasuredProcesses?
    private let loop: EventLoop<Source>
    private var mix: CallMix
    private var connections: [Connection]
    private var dirty: [Int] = []
    private let buffer = LoadBuffer()
    private var run: LoadRun
    private var failure: String?
    private var startTime: ProcessorTime?
    private var endTime: ProcessorTime?

    /// Connects.
    ///
    /// - Parameter processes: whose processor time is of interest; nil: nobody's.
    init(
        path: String, plan: LoadPlan, mix: CallMix, processes: MeasuredProcesses? = nil
    ) throws(SystemError) {
        let loop = try EventLoop<Source>()
        var connections: [Connection] = []
        for index in 0..<plan.connections {
            let socket = LoadSocket(try UnixSocket.connect(to: path))
            let registration = try loop.register(socket.descriptor, for: .reading, as: .connection(index))
            connections.append(Connection(socket: socket, registration: registration))
        }
        self.plan = plan
        self.mix = mix
        self.processes = processes
        self.loop = loop
        self.connections = connections
        self.run = LoadRun(plan, at: Clock.now)
    }

    /// Sends the load and waits for the answers.
    ///
    /// - Returns: nil when a signal came first.
    consuming func perform(unlessInterrupted signals: borrowing SignalQueue) throws(SystemError)
        -> LoadFigures?
    {
        let registration = try self.loop.register(signals.descriptor, for: .reading, as: .signals)
        // Timers are late by 50 µs otherwise, which a fixed rate would take for latency.
        TimerSlack.minimize()
        self.run = LoadRun(self.plan, at: Clock.now)
        var isInterrupted = false
        while !isInterrupted, self.failure == nil {
            let now = Clock.now
            self.lookAtProcessors(now)
            guard !self.run.isOver(now) else { break }
            self.sendWhatIsDue(now)
            let left = self.run.nextWake(now).duration(since: Clock.now)
            for index in 0..<self.loop.wait(for: left) {
                switch self.loop.event(at: index) {
                case (.connection(let connection), let readiness)?: self.serve(connection, readiness)
                case (.signals, _)?: isInterrupted = signals.next() != nil
                case nil: break
                }
            }
        }
        self.loop.deregister(signals.descriptor, registration)
        return isInterrupted ? nil : self.finish()
    }

    private func finish() -> LoadFigures {
        var figures = self.run.finish(now: Clock.now)
        figures.failure = self.failure
        if let start = self.startTime { figures.processorTime = self.endTime?.since(start) }
        return figures
    }

    /// Notes the processor time at both ends of the window.
    private mutating func lookAtProcessors(_ now: Instant) {
        guard let processes else { return }
        if self.startTime == nil, now >= self.run.window.lowerBound {
            self.startTime = processes.processorTime
        }
        if self.endTime == nil, now >= self.run.window.upperBound { self.endTime = processes.processorTime }
    }

    private mutating func serve(_ index: Int, _ readiness: Readiness) {
        if readiness.canWrite { self.flush(index) }
        guard readiness.canRead || readiness.isHungUp else { return }
        switch self.connections[index].socket.descriptor.read(into: self.buffer.bytes) {
        case .bytes(let count):
            let now = Clock.now
            self.take(count, from: index, now)
            self.sendWhatIsDue(now)
        case .wouldBlock: break
        case .ended: self.failure = "the supervisor closed a connection"
        case .failed(let error): self.failure = "\(error)"
        }
    }

    /// Judges the answers in the buffer.
    private mutating func take(_ count: Int, from index: Int, _ now: Instant) {
        let bytes = UnsafeRawBufferPointer(rebasing: self.buffer.bytes[..<count])
        var offset = 0
        while let frame = self.connections[index].decoder.next(in: bytes, from: &offset) {
            switch frame {
            case .input(let range): self.judge(UnsafeRawBufferPointer(rebasing: bytes[range]), now)
            case .assembled:
                let line = self.connections[index].decoder.assembled
                line.withUnsafeBytes { self.judge($0, now) }
            case .oversize, .unreadable: preconditionFailure("lines of any length")
            }
        }
    }

    private mutating func judge(_ line: UnsafeRawBufferPointer, _ now: Instant) {
        switch LoadAnswer.scan(line) {
        case .result(let id): self.run.answered(id, error: nil, now: now)
        case .error(let id, let range):
            self.run.answered(id, error: UnsafeRawBufferPointer(rebasing: line[range]), now: now)
        case .other: break
        }
    }

    private mutating func sendWhatIsDue(_ now: Instant) {
        while let call = self.run.next(now: now) {
            self.mix.appendNext(id: call.id, to: &self.connections[call.connection].output.bytes)
            guard !self.connections[call.connection].isDirty else { continue }
            self.connections[call.connection].isDirty = true
            self.dirty.append(call.connection)
        }
        for index in self.dirty {
            self.connections[index].isDirty = false
            // What waits already is sent when there is room.
            if !self.connections[index].waitsToWrite { self.flush(index) }
        }
        self.dirty.removeAll(keepingCapacity: true)
    }

    private mutating func flush(_ index: Int) {
        let socket = self.connections[index].socket
        while !self.connections[index].output.isEmpty {
            switch self.connections[index].output.withUnsent({ socket.descriptor.send($0) }) {
            case .bytes(let count): self.connections[index].output.drop(count)
            case .wouldBlock: return self.setWaitsToWrite(true, index)
            case .ended: return self.failure = "the supervisor closed a connection"
            case .failed(let error): return self.failure = "\(error)"
            }
        }
        self.setWaitsToWrite(false, index)
    }

    private mutating func setWaitsToWrite(_ waits: Bool, _ index: Int) {
        guard self.connections[index].waitsToWrite != waits else { return }
        self.connections[index].waitsToWrite = waits
        self.loop.modify(
            self.connections[index].socket.descriptor, self.connections[index].registration,
            for: waits ? [.reading, .writing] : .reading)
    }
}

/// A socket in an array, which holds nothing that cannot be copied.
private final class LoadSocket {
    let descriptor: FileDescriptor

    init(_ descriptor: consuming FileDescriptor) { self.descriptor = descriptor }
}

/// What a read fills: outside the generator, which changes while the answers in it are judged.
private final class LoadBuffer {
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 * 1024, alignment: 8)

    deinit { self.bytes.deallocate() }
}

/// How late the kernel may wake this process, to wake several at once.
enum TimerSlack {
    /// Without effect where /proc does not have it.
    static func minimize() {
        guard let file = try? FileDescriptor(opening: "/proc/self/timerslack_ns", O_WRONLY) else { return }
        _ = Array("1".utf8).withUnsafeBytes { file.write($0) }
    }
}
