import Glibc

/// Builds JSON-RPC messages out of parts that are JSON already, by appending to a byte array.
///
/// Nothing of a client's message reaches a worker but the parts named here, each checked and each in its
/// place (protocol §2), so that a body with line breaks or doubled members cannot smuggle a second message.
public enum MessageWriter {
    /// Appends one call for a worker, with its line end:
    ///
    ///     {"jsonrpc":"2.0","id":4194305,"method":"rag.execute","params":{…},
    ///      "metadata":{"request_id":"…","deadline_ms":59990,"traceparent":"…"}}⏎
    ///
    /// - Parameters:
    ///   - call: the number of the call; nil makes it a notification.
    ///   - method: the name as it stands between quotes.
    ///   - params: an accepted JSON object or array; line breaks between its tokens become spaces.
    ///   - requestID: text as it stands between quotes; empty: no metadata are written.
    ///   - traceparent: text as it stands between quotes; empty: none.
    ///   - deadlineMilliseconds: time left until the caller's deadline.
    ///   - fallback: the technique that failed, as JSON text, and the code of its error.
    /// - Complexity: O(bytes), no allocation once the output has the capacity.
    public static func appendCall(
        _ call: UInt64?, method: UnsafeRawBufferPointer, params: UnsafeRawBufferPointer,
        requestID: UnsafeRawBufferPointer, traceparent: UnsafeRawBufferPointer, deadlineMilliseconds: Int64?,
        fallback: (from: [UInt8], code: Int64)? = nil, to output: inout [UInt8]
    ) {
        let most =
            Self.callFrameBytes + method.count + params.count + requestID.count + traceparent.count
            + (fallback?.from.count ?? 0)
        output.append(atMost: most) { writer in
            writer.append("{\"jsonrpc\":\"2.0\",")
            if let call {
                writer.append("\"id\":")
                writer.append(unsigned: call)
                writer.append(",")
            }
            writer.append("\"method\":\"")
            writer.append(method)
            writer.append("\"")
            if !params.isEmpty {
                writer.append(",\"params\":")
                writer.append(onOneLine: params)
            }
            if !requestID.isEmpty {
                self.appendMetadata(requestID, traceparent, deadlineMilliseconds, fallback, to: &writer)
            }
            writer.append("}\n")
        }
    }

    /// What a call for a worker is at most, less the texts that it is made of.
    private static let callFrameBytes = 144 + 3 * ByteWriter.numberBytes

    private static func appendMetadata(
        _ requestID: UnsafeRawBufferPointer, _ traceparent: UnsafeRawBufferPointer,
        _ deadlineMilliseconds: Int64?, _ fallback: (from: [UInt8], code: Int64)?,
        to writer: inout ByteWriter
    ) {
        writer.append(",\"metadata\":{\"request_id\":\"")
        writer.append(requestID)
        writer.append("\"")
        if let deadlineMilliseconds {
            writer.append(",\"deadline_ms\":")
            writer.append(integer: deadlineMilliseconds)
        }
        if !traceparent.isEmpty {
            writer.append(",\"traceparent\":\"")
            writer.append(traceparent)
            writer.append("\"")
        }
        if let fallback {
            writer.append(",\"fallback\":{\"from\":")
            fallback.from.withUnsafeBytes { writer.append($0) }
            writer.append(",\"code\":")
            writer.append(integer: fallback.code)
            writer.append("}")
        }
        writer.append("}")
    }

    /// Appends `{"jsonrpc":"2.0","id":ID,"result":`, to be followed by the result and a brace.
    ///
    /// - Parameter id: the id as the caller wrote it; empty: null.
    public static func appendResultHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(atMost: Self.headFrameBytes + id.count) {
            self.appendHead(id: id, isError: false, to: &$0)
        }
    }

    /// Appends `{"jsonrpc":"2.0","id":ID,"error":`, to be followed by the error object and a brace.
    public static func appendErrorHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(atMost: Self.headFrameBytes + id.count) {
            self.appendHead(id: id, isError: true, to: &$0)
        }
    }

    /// The longest head there is, less its id: `{"jsonrpc":"2.0","id":null,"result":`.
    private static let headFrameBytes = 40

    private static func appendHead(
        id: UnsafeRawBufferPointer, isError: Bool, to writer: inout ByteWriter
    ) {
        writer.append("{\"jsonrpc\":\"2.0\",\"id\":")
        if id.isEmpty { writer.append("null") } else { writer.append(id) }
        writer.append(isError ? ",\"error\":" : ",\"result\":")
    }

    /// Appends one part of an answer, a notification for the caller:
    ///
    ///     {"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":"…","sequence":0,
    ///      "chunk_type":"partial_answer","data":"…","is_final":false}}
    ///
    /// - Parameters:
    ///   - requestID: text as it stands between quotes.
    ///   - data: accepted JSON; line breaks between its tokens become spaces.
    /// - Complexity: O(bytes), no allocation once the output has the capacity.
    public static func appendChunk(
        requestID: UnsafeRawBufferPointer, sequence: Int, _ kind: StreamChunk.Kind,
        data: UnsafeRawBufferPointer, isFinal: Bool, to output: inout [UInt8]
    ) {
        self.append(
            "{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":\"", to: &output)
        output.append(contentsOf: requestID)
        self.append("\",\"sequence\":", to: &output)
        JSONText.append(unsigned: UInt64(sequence), to: &output)
        self.append(",\"chunk_type\":\"", to: &output)
        self.append(kind.name, to: &output)
        self.append("\",\"data\":", to: &output)
        self.appendOnOneLine(data, to: &output)
        self.append(isFinal ? ",\"is_final\":true}}" : ",\"is_final\":false}}", to: &output)
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

extension ByteWriter {
    /// Appends JSON with every line break replaced by a space (`MessageWriter.appendOnOneLine`).
    public mutating func append(onOneLine json: UnsafeRawBufferPointer) {
        let start = self.next.assumingMemoryBound(to: UInt8.self)
        self.append(json)
        guard memchr(start, 0x0A, json.count) != nil || memchr(start, 0x0D, json.count) != nil else { return }
        for index in 0..<json.count where start[index] == 0x0A || start[index] == 0x0D {
            start[index] = UInt8(ascii: " ")
        }
    }
}
