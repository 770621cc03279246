import Glibc
import Protocol

/// `supervisor stream METHOD [PARAMS] [--metadata JSON] [--timeout 5s] [--raw]`
///
/// The text of partial answers goes to stdout as it comes; documents and metadata go to stderr, one a line. An answer
/// without partial ones is printed as `call` prints it.
enum StreamCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let params = try CallCommand.params(arguments)
        let timeout = try arguments.duration("timeout")
        let metadata = try CallCommand.metadata(arguments, timeout)
        var client = try ControlClient.connect(arguments)
        let deadline = timeout.map { Clock.now.advanced(by: $0 + CallCommand.margin) }
        let signals = try self.interrupts()
        try client.start(arguments.positionals[0], params: params, metadata: metadata, deadline)
        var printer = StreamPrinter(isRaw: arguments.flag("raw"))
        var isCancelled = false
        while true {
            guard let message = try client.receive(deadline, unlessInterrupted: signals) else {
                // The answer that it was cancelled is waited for, but not by one who is told twice.
                guard !isCancelled else { throw .failed("interrupted") }
                isCancelled = true
                try client.cancel(deadline)
                continue
            }
            if try printer.take(message) { return }
        }
    }

    static func interrupts() throws(CommandFailure) -> SignalQueue {
        do throws(SystemError) {
            return try SignalQueue([SIGINT, SIGTERM])
        } catch {
            throw .failed("\(error)")
        }
    }
}

/// Prints the messages of one call.
private struct StreamPrinter {
    let isRaw: Bool
    /// Whether a person reads stdout, whom control characters must not deceive.
    private let isTerminal = isatty(1) == 1
    private var hasText = false
    private var endsLine = true

    init(isRaw: Bool) { self.isRaw = isRaw }

    /// - Returns: whether it was the response.
    /// - Throws: exit code 4 when that is an error.
    mutating func take(_ bytes: [UInt8]) throws(CommandFailure) -> Bool {
        let answer = try Answer(bytes)
        if let params = answer.value["params"] {
            if self.isRaw { Terminal.write(bytes + [0x0A], to: 1) } else { self.show(params) }
            return false
        }
        try self.finish(answer)
        return true
    }

    private mutating func show(_ chunk: JSONValue) {
        let data = chunk["data"] ?? .null
        let kind = chunk["chunk_type"]?.stringValue ?? ""
        if kind == "partial_answer", let text = data.stringValue ?? data["text"]?.stringValue {
            return self.print(text)
        }
        let line = "\(Excerpt.escaped(kind)) \(Excerpt.escaped(data.text, limit: Excerpt.lineBytes))\n"
        Terminal.write(Array(line.utf8), to: 2)
    }

    private mutating func print(_ text: String) {
        guard !text.isEmpty else { return }
        self.hasText = true
        self.endsLine = text.hasSuffix("\n")
        let shown = self.isTerminal ? Self.harmless(text) : text
        Terminal.write(Array(shown.utf8), to: 1)
    }

    private static func harmless(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: false)
            .map { Excerpt.escaped(String($0), limit: .max) }.joined(separator: "\n")
    }

    private func finish(_ answer: Answer) throws(CommandFailure) {
        if !self.endsLine { Terminal.write([0x0A], to: 1) }
        if let error = answer.errorSentence {
            if self.isRaw { Terminal.write(answer.bytes + [0x0A], to: 2) }
            throw CommandFailure(exitCode: 4, message: self.isRaw ? "" : error)
        }
        if self.isRaw {
            Terminal.write(answer.bytes + [0x0A], to: 1)
        } else if !self.hasText {
            Terminal.print(answer.indentedResult)
        }
    }
}
