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
        self.append("{\"jsonrpc\":\"2.0\",", to: &output)
        if let call {
            self.append("\"id\":", to: &output)
            JSONText.append(unsigned: call, to: &output)
            self.append(",", to: &output)
        }
        self.append("\"method\":\"", to: &output)
        output.append(contentsOf: method)
        self.append("\"", to: &output)
        if !params.isEmpty {
            self.append(",\"params\":", to: &output)
            self.appendOnOneLine(params, to: &output)
        }
        if !requestID.isEmpty {
            self.append(",\"metadata\":{\"request_id\":\"", to: &output)
            output.append(contentsOf: requestID)
            self.append("\"", to: &output)
            if let deadlineMilliseconds {
                self.append(",\"deadline_ms\":", to: &output)
                JSONText.append(integer: deadlineMilliseconds, to: &output)
            }
            if !traceparent.isEmpty {
                self.append(",\"traceparent\":\"", to: &output)
                output.append(contentsOf: traceparent)
                self.append("\"", to: &output)
            }
            if let fallback {
                self.append(",\"fallback\":{\"from\":", to: &output)
                output.append(contentsOf: fallback.from)
                self.append(",\"code\":", to: &output)
                JSONText.append(integer: fallback.code, to: &output)
                self.append("}", to: &output)
            }
            self.append("}", to: &output)
        }
        self.append("}\n", to: &output)
    }

    /// Appends `{"jsonrpc":"2.0","id":ID,"result":`, to be followed by the result and a brace.
    ///
    /// - Parameter id: the id as the caller wrote it; empty: null.
    public static func appendResultHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        self.appendHead(id: id, to: &output)
        self.append(",\"result\":", to: &output)
    }

    /// Appends `{"jsonrpc":"2.0","id":ID,"error":`, to be followed by the error object and a brace.
    public static func appendErrorHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        self.appendHead(id: id, to: &output)
        self.append(",\"error\":", to: &output)
    }

    private static func appendHead(id: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        self.append("{\"jsonrpc\":\"2.0\",\"id\":", to: &output)
        if id.isEmpty {
            self.append("null", to: &output)
        } else {
            output.append(contentsOf: id)
        }
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
        let start = output.count
        output.append(contentsOf: json)
        guard let base = json.baseAddress,
            memchr(base, 0x0A, json.count) != nil || memchr(base, 0x0D, json.count) != nil
        else { return }
        for index in start..<output.count where output[index] == 0x0A || output[index] == 0x0D {
            output[index] = UInt8(ascii: " ")
        }
    }

    public static func append(_ text: StaticString, to output: inout [UInt8]) {
        output.append(
            contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}
