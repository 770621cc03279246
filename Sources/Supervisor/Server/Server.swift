import Glibc
import Protocol

/// The supervisor at work: one thread, one loop. Turns readiness of descriptors into events for the core, and
/// lets its effects be written at the end of each tick. Decides nothing.
///
/// A struct: of a class, every event would have to ask at run time whether somebody else is at the core.
struct Server: ~Copyable {
    private static let readBufferBytes = 64 * 1024
    /// Reads of one pipe after its process is gone: a grandchild may hold it open and go on writing.
    static let lastReads = 64
    /// How often a log that takes nothing is tried again while nothing else happens.
    private static let logRetry = Nanoseconds.seconds(1)
    /// How long the listener rests when descriptors have run out.
    private static let acceptPause = Nanoseconds.milliseconds(100)

    var core: SupervisorCore
    var effects: ShellEffects
    let loop: EventLoop<Source>
    private let listeners: [OpenListener]
    private var guardianRegistration: EventLoop<Source>.Registration
    private let signals: SignalQueue
    private var orphans = OrphanReaper()
    private let cookie: String
    private let messageLimits: MessageLimits
    /// When the memory of large messages is given back; nil: there were none.
    private var givesMemoryBackAt: Instant?
    let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: Server.readBufferBytes, alignment: 16)

    init(
        core: consuming SupervisorCore, effects: ShellEffects, loop: EventLoop<Source>,
        listeners: [OpenListener], signals: consuming SignalQueue, cookie: String
    ) throws(SystemError) {
        _ = try loop.register(signals.descriptor, for: .reading, as: .signals)
        self.guardianRegistration = try loop.register(
            effects.guardian.pidfd, for: .reading, as: .guardian)
        self.messageLimits = core.limits.messages
        self.core = core
        self.effects = effects
        self.loop = loop
        self.cookie = cookie
        self.listeners = listeners
        self.signals = signals
    }

    deinit { self.buffer.deallocate() }

    /// Serves until it is told to stop and everything is answered and gone.
    mutating func run() {
        Heap.keepFreedMemory()
        self.core.start(&self.effects)
        self.endTick()
        while !self.effects.isFinished {
            let count = self.loop.wait(for: self.timeLeft)
            self.core.advance(to: Clock.now, wallClock: Clock.wallMilliseconds, &self.effects)
            for index in 0..<count {
                if let event = self.loop.event(at: index) { self.handle(event.source, event.readiness) }
            }
            for listener in self.listeners {
                if let time = listener.acceptsAgainAt, time <= self.core.now { self.acceptAgain(listener) }
            }
            self.handleDeferred()
            self.endTick()
            self.giveMemoryBack()
            self.orphans.reap { self.effects.isOwnChild($0) }
        }
        self.finish()
    }

    private var timeLeft: Nanoseconds? {
        if self.effects.hasDeferred { return 0 }
        var next = self.core.nextDeadline
        if self.effects.log.isWaiting {
            next = min(next ?? .distantFuture, Clock.now.advanced(by: Self.logRetry))
        }
        if let time = self.effects.log.nextReport { next = min(next ?? .distantFuture, time) }
        for listener in self.listeners {
            if let time = listener.acceptsAgainAt { next = min(next ?? .distantFuture, time) }
        }
        if let time = self.givesMemoryBackAt { next = min(next ?? .distantFuture, time) }
        return next.map { $0.duration(since: Clock.now) }
    }

    mutating func noteLargeMessage() {
        self.givesMemoryBackAt = self.core.now.advanced(by: Heap.patience)
    }

    private mutating func giveMemoryBack() {
        guard let time = self.givesMemoryBackAt, time <= self.core.now else { return }
        self.givesMemoryBackAt = nil
        Heap.giveBack()
    }

    private mutating func endTick() {
        self.core.endTick(&self.effects)
        repeat {
            self.effects.flush()
            self.core.outputWasFlushed(&self.effects)
        } while self.effects.hasUnflushed
    }

    /// Waiting output is given a moment, the guardian sees to what is left, then the socket file goes.
    private mutating func finish() {
        self.effects.flush()
        self.effects.abortCompression()
        self.effects.guardian.finish()
        self.effects.log(.info, "supervisor.stopped", ["pid": .integer(getpid())])
        self.effects.log.finish()
        for listener in self.listeners { listener.close() }
    }

    private mutating func handle(_ source: Source, _ readiness: Readiness) {
        switch source {
        case .listener(let kind):
            for listener in self.listeners where listener.kind == kind { self.acceptConnections(listener) }
        case .signals: self.takeSignals()
        case .guardian: self.replaceGuardian()
        case .client(let token): self.clientIsReady(token, readiness)
        case .workerInput(let token): self.flushInput(of: token)
        case .workerOutput(let token):
            if let worker = self.effects.worker(token) { self.readOutput(of: worker) }
        case .workerErrors(let token):
            if let worker = self.effects.worker(token) { self.readErrors(of: worker) }
        case .workerExit(let token): self.workerExited(token)
        case .logCompression: self.effects.compressionEnded()
        }
    }

    /// What failed while effects were carried out.
    private mutating func handleDeferred() {
        for event in self.effects.takeDeferred() {
            switch event {
            case .spawned(let worker, let pid):
                self.core.workerSpawned(worker, pid: pid, &self.effects)
            case .spawnFailed(let worker, let reason, let isShortage):
                self.core.spawnFailed(worker, reason: reason, isShortage: isShortage, &self.effects)
            case .inputFailed(let worker):
                if self.effects.worker(worker) != nil { self.core.inputFailed(worker) }
            case .outputWaits(let token):
                if self.effects.connection(token) != nil { self.core.outputWaits(for: token) }
            case .outputSent(let token):
                if self.effects.connection(token) != nil { self.core.outputIsSent(to: token) }
            case .disconnected(let token):
                if let connection = self.effects.connection(token) { self.disconnect(connection) }
            }
        }
    }

    private mutating func takeSignals() {
        while let signal = self.signals.next() {
            let sender = signal.pid == 0 ? "" : " from pid \(signal.pid)"
            switch signal.number {
            case SIGTERM: self.core.stop(reason: "SIGTERM\(sender)", &self.effects)
            case SIGINT: self.core.stop(reason: "SIGINT\(sender)", &self.effects)
            case SIGHUP: self.core.reload(reason: "SIGHUP\(sender)", &self.effects)
            case SIGUSR1: self.effects.log.reopen()
            case SIGCHLD: self.orphans.childEnded()
            default:
                self.effects.log(
                    .warning, "signal.ignored", ["signal": .string(SignalName.text(signal.number))])
            }
        }
    }

    /// Somebody killed the guardian: a new one learns what the old one knew.
    private mutating func replaceGuardian() {
        let old = self.effects.guardian
        // Before the fork: the new one shares our descriptors for a moment, and what is shared stays ready when it
        // is closed; then the new guardian would be taken for dead as well.
        self.loop.deregister(old.pidfd, self.guardianRegistration)
        _ = ChildExit.reap(old.pidfd)
        self.effects.log(.error, "guardian.died", ["pid": .integer(old.pid)])
        do throws(SystemError) {
            let new = try Guardian(cookie: self.cookie)
            for group in self.effects.groups { new.groupStarted(group) }
            self.guardianRegistration = try self.loop.register(
                new.pidfd, for: .reading, as: .guardian)
            self.effects.guardian = new
        } catch {
            preconditionFailure("no guardian: \(error)")
        }
    }
}

// MARK: - Clients

extension Server {
    private mutating func acceptConnections(_ listener: OpenListener) {
        // Bounded, so that a flood of connections does not hold up those that are there.
        for _ in 0..<64 {
            switch listener.accept() {
            case .connection(let socket):
                listener.acceptFailure = nil
                self.welcome(socket, by: listener)
            case .none: return
            case .failed(let error):
                // Out of descriptors: the backlog waits, and the listener would be ready all the time.
                // It is said once, not each time that it is tried again.
                if listener.acceptFailure != error {
                    self.effects.log(.error, "listener.accept_failed", ["error": .string("\(error)")])
                }
                listener.acceptFailure = error
                listener.acceptsAgainAt = self.core.now.advanced(by: Self.acceptPause)
                return listener.setAccepting(false, in: self.loop)
            }
        }
    }

    private mutating func acceptAgain(_ listener: OpenListener) {
        listener.acceptsAgainAt = nil
        listener.setAccepting(true, in: self.loop)
    }

    private mutating func welcome(_ socket: consuming FileDescriptor, by listener: OpenListener) {
        guard let peer = UnixSocket.peer(of: socket) else { return }
        guard let token = self.core.connectionOpened(peer, isOnControlSocket: listener.kind == .control)
        else {
            let line = SupervisorCore.tooManyConnections(limit: self.core.limits.connections)
            _ = line.withUnsafeBytes { socket.send($0) }
            return
        }
        do throws(SystemError) {
            let registration = try self.loop.register(socket, for: .reading, as: .client(token))
            self.effects.add(
                ClientConnection(
                    token: token, socket: socket, peer: peer, registration: registration,
                    limits: self.messageLimits))
        } catch {
            self.effects.log(
                .error, "client.register_failed",
                [
                    "peer_uid": .integer(peer.uid), "peer_pid": .integer(peer.pid),
                    "error": .string("\(error)"),
                ])
            self.core.disconnected(token, &self.effects)
        }
    }

    private mutating func clientIsReady(_ token: ConnectionToken, _ readiness: Readiness) {
        guard let connection = self.effects.connection(token) else { return }
        if readiness.canWrite { self.effects.flush(connection) }
        if readiness.isHungUp {
            // What it sent before it left is still taken in: a notification needs no answer.
            while self.read(from: connection) {}
            if self.effects.connection(token) === connection { self.disconnect(connection) }
        } else if readiness.canRead {
            _ = self.read(from: connection)
        }
    }

    /// Takes in what one read brings: no client holds up the others by sending without end.
    ///
    /// - Returns: whether there may be more.
    private mutating func read(from connection: ClientConnection) -> Bool {
        switch connection.socket.read(into: self.buffer) {
        case .bytes(let count):
            self.take(UnsafeRawBufferPointer(rebasing: self.buffer[..<count]), from: connection)
            return true
        case .wouldBlock:
            return false
        case .ended:
            self.endInput(of: connection)
            return false
        case .failed(let error):
            let peer = connection.peer
            self.effects.log(
                .warning, "client.read_failed",
                [
                    "peer_uid": .integer(peer.uid), "peer_pid": .integer(peer.pid),
                    "error": .string("\(error)"),
                ])
            self.disconnect(connection)
            return false
        }
    }

    private mutating func take(_ bytes: UnsafeRawBufferPointer, from connection: ClientConnection) {
        var offset = 0
        while let frame = connection.decoder.next(in: bytes, from: &offset) {
            self.take(frame, bytes, from: connection)
        }
        let held = connection.decoder.heldBytes
        guard held >= Self.readBufferBytes else { return }
        self.noteLargeMessage()
        let isAllowed = connection.decoder.withAssembled { prefix in
            self.core.mayHold(held, prefix: prefix, for: connection.token, &self.effects)
        }
        if !isAllowed { connection.decoder.discardMessage() }
    }

    private mutating func take(
        _ frame: FrameDecoder.Frame, _ bytes: UnsafeRawBufferPointer, from connection: ClientConnection
    ) {
        let token = connection.token
        switch frame {
        case .input(let range):
            self.core.received(UnsafeRawBufferPointer(rebasing: bytes[range]), from: token, &self.effects)
        case .assembled:
            connection.decoder.withAssembled { self.core.received($0, from: token, &self.effects) }
        case .oversize:
            connection.decoder.withAssembled {
                self.core.receivedOversize(prefix: $0, from: token, &self.effects)
            }
        case .unreadable(let fault):
            self.core.receivedUnreadable(fault, from: token, &self.effects)
        }
    }

    private mutating func endInput(of connection: ClientConnection) {
        if let frame = connection.decoder.finish() {
            self.take(frame, UnsafeRawBufferPointer(start: nil, count: 0), from: connection)
        }
        guard self.effects.connection(connection.token) === connection else { return }
        self.core.inputEnded(connection.token, &self.effects)
    }

    private mutating func disconnect(_ connection: ClientConnection) {
        self.effects.remove(connection)
        self.core.disconnected(connection.token, &self.effects)
    }
}
