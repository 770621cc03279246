import Protocol

/// A call or a notification that has just been read, still in the bytes it came in. Lives for one event.
struct IncomingRequest {
    let envelope: RequestEnvelope
    private let message: UnsafeRawBufferPointer
    let caller: Caller
    /// What is known of its method.
    var method = MethodTable.Index.other

    init(_ envelope: RequestEnvelope, _ message: UnsafeRawBufferPointer, _ caller: Caller) {
        self.envelope = envelope
        self.message = message
        self.caller = caller
    }

    /// nil for a notification.
    var id: UnsafeRawBufferPointer? { self.envelope.id.map(self.slice) }
    var params: UnsafeRawBufferPointer? { self.envelope.params.map(self.slice) }
    var wantsMetadata: Bool { self.envelope.metadata != nil }

    func slice(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.message[range])
    }

    /// The method's name, escapes resolved.
    func withMethod<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard self.envelope.methodIsEscaped else { return body(self.slice(self.envelope.method)) }
        return JSONScanner.unescapedUTF8(self.message, self.envelope.method).withUnsafeBytes(body)
    }

    var methodText: String { JSONScanner.unescaped(self.message, self.envelope.method) }

    /// The caller's own request id, if it gave one that is none to be refused.
    func requestIDText(limit: Int) -> String? {
        guard let range = self.envelope.metadata,
            let metadata = try? JSONValue(parsing: self.slice(range)),
            let text = metadata["request_id"]?.stringValue, RequestMetadata.isText(text, limit: limit)
        else { return nil }
        return text
    }
}
