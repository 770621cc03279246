/// A message that is put together out of parts that are JSON already: one that may be large, and short ones around it.
///
/// Nothing of a client's message reaches a worker but the parts that such a type names, each checked and each in its
/// place (protocol §2), so that a body with line breaks or doubled members cannot smuggle a second message. Its line
/// end, or whatever else frames it, is not of it.
public protocol OutgoingMessage {
    /// Accepted JSON; line breaks between its tokens become spaces.
    var payload: UnsafeRawBufferPointer { get }
    /// The array that the payload lies in, where it is known and large: who sends it may keep that in place of a copy.
    var owner: [UInt8]? { get }
    /// Bytes before the payload and behind it, at most.
    var frameBytes: Int { get }
    /// What stands before the payload.
    func writeHead(to writer: inout ByteWriter)
    /// What stands behind it.
    func writeTail(to writer: inout ByteWriter)
}

extension OutgoingMessage {
    @inlinable public var owner: [UInt8]? { nil }

    /// What it has at most.
    @inlinable public var mostBytes: Int { self.frameBytes + self.payload.count }

    /// - Complexity: O(bytes).
    @inlinable
    public func write(to writer: inout ByteWriter) {
        self.writeHead(to: &writer)
        writer.append(onOneLine: self.payload)
        self.writeTail(to: &writer)
    }
}

extension [UInt8] {
    /// - Complexity: O(bytes), no allocation once there is the capacity.
    @inlinable
    public mutating func append(_ message: some OutgoingMessage) {
        self.append(atMost: message.mostBytes) { message.write(to: &$0) }
    }
}

/// One that is whole already.
public struct WholeMessage: OutgoingMessage {
    public var payload: UnsafeRawBufferPointer

    public init(_ payload: UnsafeRawBufferPointer) { self.payload = payload }

    public var frameBytes: Int { 0 }
    public func writeHead(to writer: inout ByteWriter) {}
    public func writeTail(to writer: inout ByteWriter) {}
}

/// The answers to a batch, with commas between them, as one array.
public struct BatchMessage: OutgoingMessage {
    public var payload: UnsafeRawBufferPointer

    public init(_ answers: UnsafeRawBufferPointer) { self.payload = answers }

    public var frameBytes: Int { 2 }
    public func writeHead(to writer: inout ByteWriter) { writer.append("[") }
    public func writeTail(to writer: inout ByteWriter) { writer.append("]") }
}

/// A call for a worker:
///
///     {"jsonrpc":"2.0","id":4194305,"method":"rag.execute","params":{…},
///      "metadata":{"request_id":"…","deadline_ms":59990,"traceparent":"…"}}
public struct CallMessage: OutgoingMessage {
    /// The number of the call; nil makes it a notification.
    public var number: UInt64?
    /// The name as it stands between quotes.
    public var method: UnsafeRawBufferPointer
    /// Its params, an object or an array; empty: none.
    public var payload: UnsafeRawBufferPointer
    public var owner: [UInt8]?
    /// Text as it stands between quotes; empty: no metadata are written.
    public var requestID: UnsafeRawBufferPointer
    /// Text as it stands between quotes; empty: none.
    public var traceparent: UnsafeRawBufferPointer
    /// Time left until the caller's deadline.
    public var deadlineMilliseconds: Int64?
    /// The technique that failed, as JSON text, and the code of its error.
    public var fallback: (from: [UInt8], code: Int64)?

    public init(
        number: UInt64?, method: UnsafeRawBufferPointer, params: UnsafeRawBufferPointer,
        owner: [UInt8]? = nil,
        requestID: UnsafeRawBufferPointer, traceparent: UnsafeRawBufferPointer, deadlineMilliseconds: Int64?,
        fallback: (from: [UInt8], code: Int64)? = nil
    ) {
        self.number = number
        self.method = method
        self.payload = params
        self.owner = owner
        self.requestID = requestID
        self.traceparent = traceparent
        self.deadlineMilliseconds = deadlineMilliseconds
        self.fallback = fallback
    }

    public var frameBytes: Int {
        144 + 3 * ByteWriter.numberBytes + self.method.count + self.requestID.count + self.traceparent.count
            + (self.fallback?.from.count ?? 0)
    }

    public func writeHead(to writer: inout ByteWriter) {
        if let number {
            writer.append("{\"jsonrpc\":\"2.0\",\"id\":")
            writer.append(unsigned: number)
            writer.append(",\"method\":\"")
        } else {
            writer.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
        }
        writer.append(self.method)
        if self.payload.isEmpty { writer.append("\"") } else { writer.append("\",\"params\":") }
    }

    public func writeTail(to writer: inout ByteWriter) {
        guard !self.requestID.isEmpty else { return writer.append("}") }
        writer.append(",\"metadata\":{\"request_id\":\"")
        writer.append(self.requestID)
        if let deadlineMilliseconds {
            writer.append("\",\"deadline_ms\":")
            writer.append(integer: deadlineMilliseconds)
        } else {
            writer.append("\"")
        }
        if !self.traceparent.isEmpty {
            writer.append(",\"traceparent\":\"")
            writer.append(self.traceparent)
            writer.append("\"")
        }
        if let fallback { Self.write(fallback, to: &writer) }
        writer.append("}}")
    }

    private static func write(_ fallback: (from: [UInt8], code: Int64), to writer: inout ByteWriter) {
        writer.append(",\"fallback\":{\"from\":")
        fallback.from.withUnsafeBytes { writer.append($0) }
        writer.append(",\"code\":")
        writer.append(integer: fallback.code)
        writer.append("}")
    }
}

/// The answer to a call: `{"jsonrpc":"2.0","id":ID,"result":…}`, or the same with `error`, and metadata where the
/// caller sent some.
public struct AnswerMessage: OutgoingMessage {
    /// The id as the caller wrote it; empty: null.
    public var id: UnsafeRawBufferPointer
    public var isError: Bool
    /// The result, or the error object.
    public var payload: UnsafeRawBufferPointer
    /// An object, as JSON text; empty: none.
    public var metadata: UnsafeRawBufferPointer

    public init(
        id: UnsafeRawBufferPointer, isError: Bool, payload: UnsafeRawBufferPointer,
        metadata: UnsafeRawBufferPointer
    ) {
        self.id = id
        self.isError = isError
        self.payload = payload
        self.metadata = metadata
    }

    public var frameBytes: Int { 56 + self.id.count + self.metadata.count }

    public func writeHead(to writer: inout ByteWriter) {
        MessageWriter.writeHead(id: self.id, isError: self.isError, to: &writer)
    }

    public func writeTail(to writer: inout ByteWriter) {
        if !self.metadata.isEmpty {
            writer.append(",\"metadata\":")
            writer.append(self.metadata)
        }
        writer.append("}")
    }
}

/// One part of an answer, a notification for the caller:
///
///     {"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":"…","sequence":0,
///      "chunk_type":"partial_answer","data":"…","is_final":false}}
public struct ChunkMessage: OutgoingMessage {
    /// Text as it stands between quotes.
    public var requestID: UnsafeRawBufferPointer
    public var sequence: Int
    public var kind: StreamChunk.Kind
    public var payload: UnsafeRawBufferPointer
    public var isFinal: Bool

    public init(
        requestID: UnsafeRawBufferPointer, sequence: Int, _ kind: StreamChunk.Kind,
        data: UnsafeRawBufferPointer, isFinal: Bool
    ) {
        self.requestID = requestID
        self.sequence = sequence
        self.kind = kind
        self.payload = data
        self.isFinal = isFinal
    }

    public var frameBytes: Int { 160 + ByteWriter.numberBytes + self.requestID.count }

    public func writeHead(to writer: inout ByteWriter) {
        writer.append("{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":\"")
        writer.append(self.requestID)
        writer.append("\",\"sequence\":")
        writer.append(unsigned: UInt64(self.sequence))
        writer.append(",\"chunk_type\":\"")
        writer.append(self.kind.name)
        writer.append("\",\"data\":")
    }

    public func writeTail(to writer: inout ByteWriter) {
        if self.isFinal {
            writer.append(",\"is_final\":true}}")
        } else {
            writer.append(",\"is_final\":false}}")
        }
    }
}
