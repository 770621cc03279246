import Glibc
import Protocol
import Synchronization

/// What the worker does with a call, by its method's name.
final class Actions: Sendable {
    private enum Outcome {
        case result(JSONValue)
        /// The reply was given already, or never will be.
        case noReply
    }

    private struct Fault: Error { var message: String }

    private typealias Action = @Sendable (Actions, Call) throws -> Outcome

    private static let table: [String: Action] = [
        "echo": { _, call in .result(call.params) },
        "metadata": { _, call in .result(call.metadata) },
        "whoami": { _, call in .result(Actions.identity(call)) },
        "sleep": { $0.sleep($1) },
        "hang": { _, _ in sleepForEver() },
        "crash": { _, call in Actions.crash(call) },
        "crash_once": { _, call in Actions.crashOnce(call) },
        "raw": { _, call in
            Output.reply(to: call.number ?? .null, text: call.text("text"))
            return .noReply
        },
        "fail": { _, call in
            Output.fail(call.number ?? .null, text: call.text("text"))
            return .noReply
        },
        "big": { _, call in .result(.string(String(repeating: "x", count: call.whole("bytes", 1)))) },
        "chatter": { _, call in Actions.chatter(call) },
        "noise": { _, call in Actions.noise(call) },
        "spill": { _, call in try Actions.spill(call) },
        "half_line": { _, call in
            Output.write(Array(#"{"jsonrpc":"2.0","id":\#((call.number ?? .null).text),"resu"#.utf8))
            _exit(0)
        },
        "unreadable": { _, call in
            Output.writeLine(#"{"jsonrpc":"2.0","id":\#((call.number ?? .null).text),"outcome":1}"#)
            return .noReply
        },
        "twice": { actions, call in
            actions.reply(call, call.params)
            return .result(call.params)
        },
        "foreign": { _, call in
            Output.writeLine(#"{"jsonrpc":"2.0","id":987654321098765,"result":"foreign"}"#)
            Output.writeLine(#"{"jsonrpc":"2.0","id":"a name","result":"foreign"}"#)
            return .result(call.params)
        },
        "hold": { $0.hold($1) },
        "close_output": { _, _ in
            close(1)
            sleepForEver()
        },
        "stop_reading": { actions, call in
            let end = Actions.milliseconds + Int64(call.whole("ms"))
            actions.state.withLock { $0.deafUntil = end }
            return .result("deaf")
        },
        "stream": { $0.stream($1) },
        "introspect": { actions, _ in .result(Introspection.result(words: actions.options.words)) },
    ]

    static var names: [String] { self.table.keys.sorted() }

    private struct State: Sendable {
        var held: [(number: JSONValue, result: JSONValue)] = []
        /// On the monotonic clock, in milliseconds.
        var deafUntil: Int64 = 0
        var mayBeDeaf = false
    }

    private let options: Options
    private let state = Mutex(State())

    init(_ options: Options) { self.options = options }

    private static var milliseconds: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    // MARK: Calls

    func note(_ method: String) {
        if method == "stop_reading" { self.state.withLock { $0.mayBeDeaf = true } }
    }

    /// A call of `stop_reading` has come; its thread may not have begun.
    var mayBeDeaf: Bool { self.state.withLock { $0.mayBeDeaf } }
    var isDeaf: Bool { self.state.withLock { Self.milliseconds < $0.deafUntil } }

    func run(_ method: String, _ call: Call) {
        // "rag.execute" and its like run the action that their params name.
        let name = method.contains(".") ? call.text("action", "echo") : method
        guard let action = Self.table[name] else {
            return Output.fail(call.number ?? .null, code: -32601, "Method not found: \(method)")
        }
        do {
            try self.obeyOrders()
            if case .result(let value) = try action(self, call) { self.reply(call, value) }
        } catch {
            Output.fail(call.number ?? .null, code: -32603, (error as? Fault)?.message ?? "\(error)")
        }
    }

    private func reply(_ call: Call, _ result: JSONValue) {
        guard let number = call.number else { return }
        for count in 0..<self.options.noise {
            Output.writeLine("warning: noise \(count) before reply \(number.text)")
        }
        Output.reply(to: number, text: result.text)
    }

    /// The file of `--orders` says, as long as it is there: `delay MS`, or `fail`.
    private func obeyOrders() throws {
        guard let path = self.options.orders, case let file = open(path, O_RDONLY | O_CLOEXEC), file >= 0
        else { return }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = bytes.withUnsafeMutableBytes { read(file, $0.baseAddress, $0.count) }
        close(file)
        let words = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
            .split { $0 == " " || $0 == "\n" }
        switch words.first {
        case "delay": usleep((words.dropFirst().first.flatMap { UInt32($0) } ?? 0) * 1000)
        case "fail": throw Fault(message: "told to fail")
        default: break
        }
    }

    // MARK: What takes more than a line

    private static func identity(_ call: Call) -> JSONValue {
        .object([
            .init("pid", .integer(getpid())),
            .init("worker_id", .string(getenv("WORKER_ID").map { String(cString: $0) })),
            .init("nonce", call.params["nonce"] ?? .null),
        ])
    }

    private func sleep(_ call: Call) -> Outcome {
        let milliseconds = call.whole("ms")
        guard self.options.cancel == "honour" else {
            usleep(UInt32(milliseconds) * 1000)
            return .result(call.params)
        }
        guard call.waitForCancel(milliseconds: milliseconds) else { return .result(call.params) }
        Output.fail(call.number ?? .null, code: -32800, "Request cancelled")
        return .noReply
    }

    private func stream(_ call: Call) -> Outcome {
        let count = call.whole("chunks", 1)
        for index in 0..<count {
            if call.waitForCancel(milliseconds: call.whole("ms")), self.options.cancel == "honour" {
                Output.fail(call.number ?? .null, code: -32800, "Request cancelled")
                return .noReply
            }
            Self.writeChunk(call, index, isFinal: call.params["final"] == true && index == count - 1)
        }
        self.reply(call, call.params)
        for index in 0..<call.whole("late") { Self.writeChunk(call, count + index, isFinal: false) }
        return .noReply
    }

    private static func writeChunk(_ call: Call, _ index: Int, isFinal: Bool) {
        let data: JSONValue = [
            "nonce": call.params["nonce"] ?? .null, "n": .integer(index),
            "pad": .string(String(repeating: "x", count: call.whole("bytes"))),
        ]
        let params: JSONValue = [
            "request_id": call.number ?? .null, "sequence": .integer(index), "chunk_type": "partial_answer",
            "data": data, "is_final": .bool(isFinal),
        ]
        Output.writeLine(
            (["jsonrpc": "2.0", "method": "stream_chunk", "params": params] as JSONValue).text)
    }

    private static func crash(_ call: Call) -> Never {
        Output.writeErrors("\(call.text("stderr", "about to crash"))\n")
        if let name = call.params["signal"]?.stringValue {
            let numbers = [
                "SIGKILL": SIGKILL, "SIGSEGV": SIGSEGV, "SIGABRT": SIGABRT, "SIGTERM": SIGTERM,
                "SIGSTOP": SIGSTOP,
            ]
            kill(getpid(), numbers[name] ?? SIGKILL)
            sleepForEver()
        }
        _exit(Int32(call.whole("code", 7)))
    }

    private static func crashOnce(_ call: Call) -> Outcome {
        let file = open(call.text("marker"), O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard file < 0 else { self.crash(call) }
        return .result(call.params)
    }

    private static func chatter(_ call: Call) -> Outcome {
        let line = String(repeating: "e", count: 1023) + "\n"
        for _ in 0..<call.whole("bytes") / 1024 { Output.writeErrors(line) }
        return .result("said")
    }

    private static func noise(_ call: Call) -> Outcome {
        let line = [UInt8](repeating: UInt8(ascii: "n"), count: call.whole("bytes", 20)) + [0x0A]
        for _ in 0..<call.whole("lines", 1) { Output.write(line) }
        return .result("noisy")
    }

    private static func spill(_ call: Call) throws -> Outcome {
        let digits = Array(call.text("hex").utf8)
        var bytes: [UInt8] = []
        for index in stride(from: 0, to: digits.count - 1, by: 2) {
            let pair = String(decoding: digits[index..<index + 2], as: UTF8.self)
            guard let byte = UInt8(pair, radix: 16) else { throw Fault(message: "no hex digits: \(pair)") }
            bytes.append(byte)
        }
        for _ in 0..<call.whole("count", 1) { Output.write(bytes) }
        Output.write([0x0A])
        return .result("spilt")
    }

    private func hold(_ call: Call) -> Outcome {
        let replies = self.state.withLock { state -> [(number: JSONValue, result: JSONValue)] in
            state.held.append((call.number ?? .null, call.params))
            guard state.held.count >= call.whole("count", 1) else { return [] }
            defer { state.held = [] }
            return state.held.reversed()
        }
        for reply in replies { Output.reply(to: reply.number, text: reply.result.text) }
        return .noReply
    }
}
