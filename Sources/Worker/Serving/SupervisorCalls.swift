import Glibc
import Protocol

/// What this worker asks the supervisor: requests on its stdout, whose answers come among the requests on its stdin.
///
/// Their ids are strings, `"w1"`, `"w2"`, …: the supervisor's own are numbers, so that no answer can be taken for a
/// request's. Any thread may ask; the one that reads stdin hands the answers over by `take`.
final class SupervisorCalls: Sendable {
    /// How a question ended.
    enum Answer: Equatable {
        case result(JSONValue)
        case error(code: Int64)
        /// Not in time.
        case none
    }

    private struct State {
        var lastNumber: UInt64 = 0
        var open: [UInt64: OpenCall] = [:]
    }

    private final class OpenCall: Sendable {
        let answer = Locked(Answer.none)
        let answered = Signal()
    }

    private let output: OutputBuffer
    private let state = Locked(State())

    init(output: OutputBuffer) { self.output = output }

    /// Asks and waits for the answer.
    ///
    /// - Parameter params: JSON text.
    func ask(_ method: StaticString, params: [UInt8], milliseconds: Int64) -> Answer {
        let call = OpenCall()
        let number = self.state.withLock { state in
            state.lastNumber += 1
            state.open[state.lastNumber] = call
            return state.lastNumber
        }
        self.output.write(line: Self.message(number: number, method, params))
        call.answered.wait(milliseconds: milliseconds)
        // An answer behind this moment finds no open call.
        self.state.withLock { _ = $0.open.removeValue(forKey: number) }
        return call.answer.withLock { $0 }
    }

    /// Tells, without an answer.
    func tell(_ method: StaticString, params: [UInt8]) {
        self.output.write(line: Self.message(number: nil, method, params))
    }

    private static func message(number: UInt64?, _ method: StaticString, _ params: [UInt8]) -> [UInt8] {
        var message: [UInt8] = []
        message.reserveCapacity(params.count + 96)
        MessageWriter.append(#"{"jsonrpc":"2.0","#, to: &message)
        if let number {
            MessageWriter.append(#""id":"w"#, to: &message)
            JSONText.append(unsigned: number, to: &message)
            MessageWriter.append(#"","#, to: &message)
        }
        MessageWriter.append(#""method":""#, to: &message)
        MessageWriter.append(method, to: &message)
        MessageWriter.append(#"","params":"#, to: &message)
        message.append(contentsOf: params)
        message.append(UInt8(ascii: "}"))
        return message
    }

    /// Takes a message that is no request when its id is one of ours; also one that is late, or answers twice.
    ///
    /// - Parameters:
    ///   - id: as it stands in the message.
    ///   - message: whole; nil: it was too long, and only its beginning is there.
    /// - Returns: whether it was an answer.
    func take(id: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer?) -> Bool {
        guard let number = Self.number(id) else { return false }
        guard let call = self.state.withLock({ $0.open.removeValue(forKey: number) }) else { return true }
        let answer = message.flatMap { Self.answer($0) } ?? .none
        call.answer.withLock { $0 = answer }
        call.answered.raise()
        return true
    }

    /// N of `"wN"`.
    private static func number(_ id: UnsafeRawBufferPointer) -> UInt64? {
        guard id.count > 3, id.starts(with: #""w"#.utf8), id.last == UInt8(ascii: "\"") else { return nil }
        return UInt64(String(decoding: id[2..<(id.count - 1)], as: UTF8.self))
    }

    private static func answer(_ message: UnsafeRawBufferPointer) -> Answer? {
        guard let tree = try? JSONValue(parsing: message) else { return nil }
        if let result = tree["result"], tree["error"] == nil { return .result(result) }
        return tree["error"]?["code"]?.integerValue.map { .error(code: $0) }
    }
}

extension SupervisorCalls {
    /// Whether somebody at the other ends of these descriptors can be asked: a supervisor started this process or one
    /// above it, and they are its pipes, not a file or a terminal.
    static func isPossible(input: Int32, output: Int32, environment: ProcessEnvironment) -> Bool {
        environment["SUPERVISOR_INSTANCE"] != nil && self.isPipe(input) && self.isPipe(output)
    }

    private static func isPipe(_ descriptor: Int32) -> Bool {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return false }
        return status.st_mode & S_IFMT == S_IFIFO || status.st_mode & S_IFMT == S_IFSOCK
    }

    /// Reads answers to the end of the input, for a process that serves nothing.
    func readAnswers(from input: Int32) {
        let limits = MessageLimits()
        LineReader(limits: limits).run(input: input) { line in
            guard case .whole(let message) = line,
                case .invalid(_, let id?) = ClientMessage.scan(message, limits: limits)
            else { return }
            _ = self.take(id: UnsafeRawBufferPointer(rebasing: message[id]), message: message)
        }
    }
}
