import Glibc
import Protocol

/// `supervisor check [--timeout 60s] -- COMMAND`: is this program a good worker? Exit 0 when nothing failed.
enum CheckCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        guard let command = arguments.trailing else {
            throw .usage("expected COMMAND [ARG…] behind -- (see `supervisor help check`)")
        }
        let startPatience = try arguments.duration("timeout") ?? .seconds(60)
        SignalQueue.ignoreFailingWrites()
        FileDescriptor.occupyStandardNumbers()
        var check = WorkerCheck(try self.start(command), startPatience: startPatience)
        check.run()
        Terminal.print(check.table)
        guard !check.hasFailed else { throw CommandFailure(exitCode: 1, message: "") }
    }

    private static func start(_ command: [String]) throws(CommandFailure) -> WorkerDialogue {
        var pool = Configuration.Pool(name: "check")
        pool.command = command
        let launcher = WorkerLauncher(
            environment: ProcessEnvironment.current, cookie: ProcessLimits.randomCookie(),
            spawner: ProcessSpawner())
        let request = SpawnRequest(
            worker: WorkerToken(index: 0, generation: 1), pool: 0, role: .serving, workerID: "worker_check",
            configuration: pool)
        do throws(ProcessSpawner.Failure) {
            return WorkerDialogue(try launcher.launch(request))
        } catch {
            throw .failed("the worker could not be started: \(error)")
        }
    }
}

/// The questions that a worker is asked, and what its answers are worth.
struct WorkerCheck: ~Copyable {
    enum Verdict: String {
        case pass
        /// It works, but not as well as it could.
        case warn
        case fail
    }

    private struct Row {
        var name: String
        var verdict: Verdict
        var detail: String
    }

    /// How long a worker may take to answer once it is ready.
    private static let patience = Nanoseconds.seconds(10)
    private static let exitPatience = Nanoseconds.seconds(5)
    /// How long it may take to say what it should not.
    private static let silence = Nanoseconds.milliseconds(200)
    /// Between two questions to a worker that says it is unhealthy.
    private static let pause = Nanoseconds.seconds(1)
    private static let largeMessageBytes = 5 << 20

    private let startPatience: Nanoseconds
    private var worker: WorkerDialogue
    private var rows: [Row] = []
    private var capabilities = Capabilities()

    /// - Parameter startPatience: how long the worker may take to become ready.
    init(_ worker: consuming WorkerDialogue, startPatience: Nanoseconds) {
        self.worker = worker
        self.startPatience = startPatience
    }

    var hasFailed: Bool { self.rows.contains { $0.verdict == .fail } }

    /// One line a check: its name, the verdict, and what was seen or what to do.
    var table: String {
        let width = self.rows.map(\.name.count).max() ?? 0
        let lines = self.rows.map { row in
            let padding = String(repeating: " ", count: width - row.name.count)
            return "\(row.name)\(padding)  \(row.verdict.rawValue)  \(row.detail)"
        }
        let warnings = self.rows.count { $0.verdict == .warn }
        let failures = self.rows.count { $0.verdict == .fail }
        let passed = self.rows.count - warnings - failures
        return (lines + ["\(passed) passed, \(warnings) warned, \(failures) failed"]).joined(separator: "\n")
    }

    private mutating func note(_ name: String, _ verdict: Verdict, _ detail: String) {
        self.rows.append(Row(name: name, verdict: verdict, detail: detail))
    }

    /// Asks everything. What depends on an answer that did not come is left out.
    mutating func run() {
        if self.checkHandshake() {
            self.checkIdentifiers()
            self.checkUnknownMethod()
            self.checkNotification()
            self.checkConcurrency()
            self.checkCancel()
            self.checkLargeMessage()
            self.checkBadLine()
        }
        self.checkNoise()
        self.checkExit()
    }
}

// MARK: - The checks

extension WorkerCheck {
    private mutating func checkHandshake() -> Bool {
        let start = Clock.now
        guard let reply = self.firstAbleReply(before: start.advanced(by: self.startPatience)) else {
            self.note(
                "handshake", .fail, "no answer to health.check: \(self.reasonForSilence)\(self.lastError)")
            return false
        }
        let milliseconds = Clock.now.duration(since: start) / .milliseconds(1)
        if reply["error"]?["code"] == -32601 {
            self.note(
                "handshake", .warn,
                "it does not know health.check and counts as alive without capabilities; answer {\"status\":\"healthy\"}"
            )
            return true
        }
        switch reply["result"].flatMap(HealthReport.init(result:)) {
        case .able(let capabilities)?:
            self.capabilities = capabilities ?? Capabilities()
            let status = reply["result"]?["status"]?.stringValue ?? ""
            let calls = self.capabilities.maxConcurrency ?? 1
            self.note(
                "handshake", .pass,
                "\(status) after \(milliseconds) ms; \(calls == 1 ? "one call" : "\(calls) calls") at once")
            return true
        case .unhealthy?:
            self.note(
                "handshake", .fail,
                "still unhealthy after \(milliseconds) ms: it would get no calls\(self.lastError)")
        case nil:
            self.note(
                "handshake", .fail,
                "the result of health.check needs \"status\": \"healthy\", \"degraded\" or \"unhealthy\"")
        }
        return false
    }

    /// Asks as the supervisor does: one that is unhealthy again and again, as long as there is time.
    ///
    /// - Returns: the last reply; nil when none came.
    private mutating func firstAbleReply(before deadline: Instant) -> JSONValue? {
        var last: JSONValue?
        for number in UInt64(1000)... {
            self.worker.send("health.check", id: number)
            guard let reply = self.worker.reply(to: number, within: deadline.duration(since: Clock.now))
            else {
                return last
            }
            last = reply
            let isUnhealthy = reply["result"].flatMap(HealthReport.init(result:)) == .unhealthy
            guard isUnhealthy, Clock.now.advanced(by: Self.pause) < deadline else { return last }
            _ = self.worker.nextMessage(within: Self.pause)
        }
        return last
    }

    private var reasonForSilence: String {
        if self.worker.hasEnded { return "it closed its stdout" }
        if self.worker.wasAsked {
            return "it sends back requests. Answer with \"result\" or \"error\", not \"method\""
        }
        return
            "it said nothing in \(self.startPatience / .milliseconds(1)) ms. Read lines from stdin; write and flush "
            + "one line each to stdout"
    }

    private mutating func checkIdentifiers() {
        for number: UInt64 in [0, 7, 4_194_305, (1 << 52) - 1] {
            self.worker.send("health.check", id: number)
            guard self.worker.reply(to: number, within: Self.patience) != nil else {
                return self.note(
                    "ids", .fail,
                    "the id \(number) did not come back: return the request's id as the number it is")
            }
        }
        self.note("ids", .pass, "come back as they were sent")
    }

    private mutating func checkUnknownMethod() {
        self.worker.send("supervisor_check.no_such_method", id: 20)
        guard let reply = self.worker.reply(to: 20, within: Self.patience) else {
            return self.note(
                "unknown method", .fail,
                "no answer: answer every request, with error −32601 when there is no such method")
        }
        guard let code = reply["error"]?["code"]?.integerValue else {
            return self.note(
                "unknown method", .warn, "answered with a result; error −32601 would tell callers the truth")
        }
        self.note(
            "unknown method", code == -32601 ? .pass : .warn,
            code == -32601 ? "refused with −32601" : "refused with \(code); callers expect −32601")
    }

    private mutating func checkNotification() {
        self.worker.sendLine("{\"jsonrpc\":\"2.0\",\"method\":\"supervisor_check.notification\"}")
        let answer = self.worker.nextMessage(within: Self.silence)
        guard let answer else { return self.note("notification", .pass, "not answered") }
        self.note(
            "notification", .warn,
            "answered (\(Excerpt.escaped(answer.text))): a message without id wants no answer")
    }

    private mutating func checkConcurrency() {
        let count = min(self.capabilities.maxConcurrency ?? 1, 64)
        guard count > 1 else { return self.note("concurrency", .pass, "one call at a time, as declared") }
        let ids = UInt64(100)..<UInt64(100 + count)
        for id in ids { self.worker.send("health.check", id: id) }
        var answered = 0
        for id in ids where self.worker.reply(to: id, within: Self.patience) != nil { answered += 1 }
        self.note(
            "concurrency", answered == count ? .pass : .fail,
            "\(answered) of \(count) calls sent at once were answered")
    }

    /// Two cancels: of a call that is over, and of one that was sent a moment before, whose answer is either its
    /// result or the error −32800, but one.
    private mutating func checkCancel() {
        self.worker.cancel(999)
        self.worker.send("health.check", id: 30)
        guard self.worker.reply(to: 30, within: Self.patience) != nil else {
            return self.note("cancel", .fail, "no answer after a cancel of a call that is over: ignore it")
        }
        self.worker.send("health.check", id: 31)
        self.worker.cancel(31)
        guard self.worker.reply(to: 31, within: Self.patience) != nil else {
            return self.note(
                "cancel", .fail,
                "no answer to a call that was cancelled: answer with its result or error −32800")
        }
        guard self.worker.reply(to: 31, within: Self.silence) == nil else {
            return self.note("cancel", .fail, "two answers to a call that was cancelled: one is enough")
        }
        let isHonoured = self.capabilities.honoursCancel
        self.note(
            "cancel", isHonoured ? .pass : .warn,
            isHonoured
                ? "declared; a late one is ignored"
                : "not declared: a call that its caller gave up keeps its slot until it is done or the method's timeout"
        )
    }

    private mutating func checkLargeMessage() {
        let padding = String(repeating: "x", count: Self.largeMessageBytes)
        self.worker.send("health.check", id: 40, params: "{\"padding\":\"\(padding)\"}")
        let isAnswered = self.worker.reply(to: 40, within: Self.patience) != nil
        self.note(
            "5 MiB message", isAnswered ? .pass : .fail,
            isAnswered ? "answered" : "no answer: a line may have 10 MiB; read whole lines, however long")
    }

    private mutating func checkBadLine() {
        self.worker.sendLine("this is no JSON")
        self.worker.send("health.check", id: 50)
        let isAnswered = self.worker.reply(to: 50, within: Self.patience) != nil
        self.note(
            "bad line", isAnswered ? .pass : .warn,
            isAnswered
                ? "survived"
                : "it did not survive a line that is no JSON: the supervisor sends none, but others may"
                    + self.lastError)
    }

    private mutating func checkNoise() {
        guard let first = self.worker.noise.first else {
            return self.note("stdout", .pass, "holds messages only")
        }
        self.note(
            "stdout", .warn,
            "\(self.worker.noise.count) stray line\(self.worker.noise.count == 1 ? "" : "s"), the first "
                + "\(first.place): \(Excerpt.escaped(first.line, limit: 100)). Print to stderr instead")
    }

    private mutating func checkExit() {
        self.worker.closeInput()
        switch self.worker.exitStatus(within: Self.exitPatience) {
        case .exited(code: 0)?: self.note("end of input", .pass, "exits with code 0")
        case .exited(let code)?:
            self.note("end of input", .warn, "exits with code \(code); expected 0\(self.lastError)")
        case .signaled(let number)?:
            self.note("end of input", .warn, "died by \(SignalName.text(number))\(self.lastError)")
        case nil:
            self.note(
                "end of input", .fail,
                "still there 5 s after its stdin ended: exit when a read returns nothing")
        }
    }

    private var lastError: String {
        let line = self.worker.errorTail.split(separator: "\n").last.map(String.init) ?? ""
        return line.isEmpty ? "" : "; its stderr ends with: \(Excerpt.escaped(line, limit: 200))"
    }
}
