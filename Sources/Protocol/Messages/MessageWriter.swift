/// Parts of JSON-RPC messages, appended to a byte array.
public enum MessageWriter {
    /// Appends `{"jsonrpc":"2.0","id":ID,"result":`, to be followed by the result and a brace.
    ///
    /// - Parameter id: the id as the caller wrote it; empty: null.
    public static func appendResultHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(atMost: Self.headFrameBytes + id.count) {
            self.writeHead(id: id, isError: false, to: &$0)
        }
    }

    /// Appends `{"jsonrpc":"2.0","id":ID,"error":`, to be followed by the error object and a brace.
    public static func appendErrorHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(atMost: Self.headFrameBytes + id.count) {
            self.writeHead(id: id, isError: true, to: &$0)
        }
    }

    /// The longest head there is, less its id: `{"jsonrpc":"2.0","id":null,"result":`.
    private static let headFrameBytes = 40

    @inline(__always)
    static func writeHead(id: UnsafeRawBufferPointer, isError: Bool, to writer: inout ByteWriter) {
        writer.append("{\"jsonrpc\":\"2.0\",\"id\":")
        if id.isEmpty { writer.append("null") } else { writer.append(id) }
        if isError { writer.append(",\"error\":") } else { writer.append(",\"result\":") }
    }

    /// Appends JSON with every line break replaced by a space. In accepted JSON a line break can only stand
    /// between tokens: strings hold none.
    public static func appendOnOneLine(_ json: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(atMost: json.count) { $0.append(onOneLine: json) }
    }

    public static func append(_ text: StaticString, to output: inout [UInt8]) {
        output.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
