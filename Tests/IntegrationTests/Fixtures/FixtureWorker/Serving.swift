import Glibc
import Protocol
import Synchronization

/// A call in progress.
final class Call: Sendable {
    let number: JSONValue?
    let params: JSONValue
    let metadata: JSONValue
    /// A byte in this pipe is the cancel: who waits for it polls.
    private let cancelPipe: (readEnd: Int32, writeEnd: Int32)

    init(_ message: JSONValue) {
        self.number = message["id"]
        self.params = message["params"] ?? .null
        self.metadata = message["metadata"] ?? .null
        var ends: [Int32] = [-1, -1]
        pipe(&ends)
        self.cancelPipe = (ends[0], ends[1])
    }

    deinit {
        close(self.cancelPipe.readEnd)
        close(self.cancelPipe.writeEnd)
    }

    func cancel() { _ = write(self.cancelPipe.writeEnd, "x", 1) }

    /// - Returns: whether it was cancelled meanwhile.
    func waitForCancel(milliseconds: Int) -> Bool {
        var wait = pollfd(fd: self.cancelPipe.readEnd, events: Int16(POLLIN), revents: 0)
        return poll(&wait, 1, Int32(milliseconds)) > 0
    }

    func whole(_ name: String, _ standard: Int = 0) -> Int {
        self.params[name]?.integerValue.map { Int($0) } ?? standard
    }

    func text(_ name: String, _ standard: String = "") -> String {
        self.params[name]?.stringValue ?? standard
    }
}

/// Reads lines to the end of stdin; each call gets a thread.
final class Serving: Sendable {
    private let options: Options
    private let actions: Actions
    /// Those in progress, by their number's text.
    private let calls = Mutex<[String: Call]>([:])

    init(_ options: Options) {
        self.options = options
        self.actions = Actions(options)
    }

    func run() {
        let log = self.options.log.map { LogFile($0) }
        var pending: [UInt8] = []
        var scanned = 0
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = buffer.withUnsafeMutableBytes { read(0, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            pending += buffer[..<count]
            while let end = pending[scanned...].firstIndex(of: 0x0A) {
                let line = Array(pending[...end])
                pending.removeSubrange(...end)
                scanned = 0
                log?.append(line)
                self.take(line)
                self.restWhileDeaf()
            }
            scanned = pending.count
        }
        self.end()
    }

    /// The reading thread waits until a call of `stop_reading` is over.
    private func restWhileDeaf() {
        // That call has a thread of its own, which needs a moment to say so.
        if self.actions.mayBeDeaf { usleep(5000) }
        while self.actions.isDeaf { usleep(5000) }
    }

    private func take(_ line: [UInt8]) {
        guard let message = try? JSONValue(parsing: line) else { return }
        switch message["method"]?.stringValue {
        case "health.check"?:
            guard !self.options.isNeverReady, let number = message["id"] else { return }
            let status = self.options.isUnhealthy ? "unhealthy" : "healthy"
            Output.reply(
                to: number, text: #"{"status":"\#(status)","capabilities":\#(self.capabilities.text)}"#)
        case "$/cancelRequest"?:
            let number = message["params"]?["id"]?.text ?? ""
            self.calls.withLock { $0[number] }?.cancel()
        case let method?:
            self.start(method, Call(message))
        case nil:
            break
        }
    }

    private var capabilities: JSONValue {
        var members: [JSONValue.Member] = [
            .init("cancel", .bool(self.options.cancel != nil)),
            .init("idempotent", .array(self.options.idempotent.map { .string($0) })),
        ]
        if let count = self.options.concurrency { members.append(.init("max_concurrency", .integer(count))) }
        if let names = self.options.techniques {
            members.append(.init("techniques", .array(names.map { .string($0) })))
        }
        return .object(members)
    }

    private func start(_ method: String, _ call: Call) {
        if let number = call.number { self.calls.withLock { $0[number.text] = call } }
        self.actions.note(method)
        OwnThread.start {
            self.actions.run(method, call)
            if let number = call.number { self.calls.withLock { $0[number.text] = nil } }
        }
    }

    private func end() -> Never {
        if self.options.ignoresEnd { sleepForEver() }
        for _ in 0..<500 where !self.calls.withLock({ $0.isEmpty }) { usleep(10_000) }
        _exit(0)
    }
}

/// A detached thread for one piece of work.
enum OwnThread {
    private final class Work {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    static func start(_ body: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                // The pointer is the one retained below, and is given back here, once.
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, Unmanaged.passRetained(Work(body)).toOpaque())
        pthread_attr_destroy(&attributes)
        precondition(code == 0, "pthread_create: \(code)")
    }
}
