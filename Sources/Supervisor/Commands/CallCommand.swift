import Glibc
import Protocol

/// `supervisor call METHOD [PARAMS] [--metadata JSON] [--timeout 5s] [--raw]`
enum CallCommand {
    /// How much longer than the call's own timeout the command waits for the answer that it timed out.
    static let margin = Nanoseconds.seconds(1)

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let params = try self.params(arguments)
        let timeout = try arguments.duration("timeout")
        let metadata = try self.metadata(arguments, timeout)
        var client = try ControlClient.connect(arguments)
        let answer = try Answer(
            client.call(
                arguments.positionals[0], params: params, metadata: metadata,
                timeout: timeout.map { $0 + self.margin }))
        let isRaw = arguments.flag("raw")
        if let error = answer.errorSentence {
            if isRaw { Terminal.write(answer.bytes + [0x0A], to: 2) }
            throw CommandFailure(exitCode: 4, message: isRaw ? "" : error)
        }
        if isRaw {
            Terminal.write(answer.bytes + [0x0A], to: 1)
        } else {
            Terminal.print(answer.indentedResult)
        }
    }

    /// The params as given, or read from stdin for `-`; checked, so that a slip is named with its place.
    static func params(_ arguments: ParsedArguments) throws(CommandFailure) -> String {
        guard var text = arguments.positionals.dropFirst().first else { return "" }
        if text == "-" { text = self.readStandardInput() }
        switch try self.parse(text, "PARAMS") {
        case .object, .array: return text
        case let other:
            throw .usage("PARAMS: expected a JSON object or array, found \(other.kindDescription)")
        }
    }

    /// What `--metadata` and `--timeout` say; empty for nothing.
    static func metadata(
        _ arguments: ParsedArguments, _ timeout: Nanoseconds?
    ) throws(CommandFailure) -> String {
        var members: [JSONValue.Member] = []
        if let text = arguments.value("metadata") {
            guard case .object(let given) = try self.parse(text, "--metadata") else {
                throw .usage("--metadata: expected a JSON object")
            }
            members = given
        } else if timeout == nil {
            return ""
        }
        if let timeout, !members.contains(where: { $0.name == "timeout_ms" }) {
            let milliseconds: Int64 = max(1, timeout / Nanoseconds.milliseconds(1))
            members.append(JSONValue.Member("timeout_ms", .integer(milliseconds)))
        }
        return JSONValue.object(members).text
    }

    private static func parse(_ text: String, _ name: String) throws(CommandFailure) -> JSONValue {
        do throws(JSONError) {
            return try JSONValue(parsing: text)
        } catch {
            throw .usage("\(name): \(error)")
        }
    }

    private static func readStandardInput() -> String {
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = chunk.withUnsafeMutableBytes { buffer in
                retryingInterrupts { read(0, buffer.baseAddress, buffer.count) }
            }
            guard count > 0 else { return String(decoding: content, as: UTF8.self) }
            content.append(contentsOf: chunk.prefix(count))
        }
    }
}
