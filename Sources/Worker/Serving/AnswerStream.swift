import Protocol

/// The chunks of one `rag.stream` (protocol §5): each goes out as soon as it is made, with those made together with it,
/// unless the caller has given up.
struct AnswerStream {
    private let id: [UInt8]
    private let output: OutputBuffer
    /// Throws when the caller has given up.
    private let checkpoint: () throws(RPCError) -> Void
    private var sequence = 0

    /// - Parameter id: of the request, as it stands in the message.
    init(id: [UInt8], output: OutputBuffer, checkpoint: @escaping () throws(RPCError) -> Void) {
        self.id = id
        self.output = output
        self.checkpoint = checkpoint
    }

    /// - Parameter data: JSON text.
    mutating func send(_ kind: StreamChunk.Kind, _ data: [UInt8], isFinal: Bool = false) throws(RPCError) {
        try self.checkpoint()
        var line: [UInt8] = []
        line.reserveCapacity(data.count + self.id.count + 128)
        MessageWriter.append(
            "{\"jsonrpc\":\"2.0\",\"method\":\"stream_chunk\",\"params\":{\"request_id\":", to: &line)
        line.append(contentsOf: self.id)
        MessageWriter.append(",\"sequence\":", to: &line)
        JSONText.append(unsigned: UInt64(self.sequence), to: &line)
        MessageWriter.append(",\"chunk_type\":\"", to: &line)
        MessageWriter.append(kind.name, to: &line)
        MessageWriter.append("\",\"data\":", to: &line)
        line.append(contentsOf: data)
        MessageWriter.append(isFinal ? ",\"is_final\":true}}" : ",\"is_final\":false}}", to: &line)
        self.output.append(line: line)
        self.sequence += 1
    }

    /// What was sent goes out now: what comes next takes its time.
    func flush() { self.output.flush() }
}
