import Glibc
import Protocol
import Synchronization

/// What the worker says: whole lines on stdout, one thread at a time.
enum Output {
    private static let lock = Mutex(())

    static func writeLine(_ text: String) { self.write(Array("\(text)\n".utf8)) }

    static func write(_ bytes: [UInt8]) {
        self.lock.withLock { _ in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
                guard count > 0 else { return }
                rest = rest.dropFirst(count)
            }
        }
    }

    static func writeErrors(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    }

    /// A response whose result stands in it byte for byte.
    static func reply(to number: JSONValue, text: String) {
        self.writeLine(#"{"jsonrpc":"2.0","id":\#(number.text),"result":\#(text)}"#)
    }

    /// An error object that stands in the response byte for byte.
    static func fail(_ number: JSONValue, text: String) {
        self.writeLine(#"{"jsonrpc":"2.0","id":\#(number.text),"error":\#(text)}"#)
    }

    static func fail(_ number: JSONValue, code: Int, _ message: String) {
        self.fail(
            number,
            text: JSONValue.object([
                .init("code", .integer(code)), .init("message", .string(message)),
            ]).text)
    }
}

func sleepForEver() -> Never {
    while true { sleep(3600) }
}
