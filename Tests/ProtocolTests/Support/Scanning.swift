@testable import Protocol

/// A scanned client message with texts in place of ranges.
enum Scanned: Equatable {
    case request(id: String?, method: String, params: String?, metadata: String?)
    case batch([String])
    case invalid(InvalidRequestReason, id: String?)
    case malformed
}

func scan(_ bytes: [UInt8], limits: MessageLimits = MessageLimits()) -> Scanned {
    bytes.withUnsafeBytes { described(ClientMessage.scan($0, limits: limits), $0) }
}

func scan(_ text: String, limits: MessageLimits = MessageLimits()) -> Scanned {
    scan(Array(text.utf8), limits: limits)
}

/// What each element of a batch is.
func scanElements(_ text: String, limits: MessageLimits = MessageLimits()) -> [Scanned]? {
    Array(text.utf8).withUnsafeBytes { bytes in
        guard case .batch(let elements) = ClientMessage.scan(bytes, limits: limits) else { return nil }
        return elements.map { described(ClientMessage.scanElement(bytes, $0, limits: limits), bytes) }
    }
}

private func described(_ message: ClientMessage, _ bytes: UnsafeRawBufferPointer) -> Scanned {
    func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
    switch message {
    case .request(let request):
        return .request(
            id: request.id.map(text), method: text(request.method), params: request.params.map(text),
            metadata: request.metadata.map(text))
    case .batch(let elements): return .batch(elements.map(text))
    case .invalid(let reason, let id): return .invalid(reason, id: id.map(text))
    case .malformed: return .malformed
    }
}

/// A scanned line of a worker with texts in place of ranges.
enum ScannedReply: Equatable {
    case result(UInt64, String)
    case error(UInt64, String)
    case unreadable(UInt64, WorkerMessage.UnreadableReason)
    case foreign
    case request(id: String, method: String)
    case notification(method: String)
    case noise
}

func scanReply(_ bytes: [UInt8], limits: MessageLimits = MessageLimits()) -> ScannedReply {
    bytes.withUnsafeBytes { bytes in
        func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
        switch WorkerMessage.scan(bytes, limits: limits) {
        case .result(let call, let range): return .result(call, text(range))
        case .error(let call, let range): return .error(call, text(range))
        case .unreadable(let call, let reason): return .unreadable(call, reason)
        case .foreign: return .foreign
        case .request(let request):
            return .request(id: request.id.map(text) ?? "", method: text(request.method))
        case .notification(let request): return .notification(method: text(request.method))
        case .noise: return .noise
        }
    }
}

func scanReply(_ text: String, limits: MessageLimits = MessageLimits()) -> ScannedReply {
    scanReply(Array(text.utf8), limits: limits)
}

extension Sequence {
    /// All orders of the elements.
    var permutations: [[Element]] {
        let elements = Array(self)
        guard !elements.isEmpty else { return [[]] }
        return elements.indices.flatMap { index in
            var rest = elements
            let first = rest.remove(at: index)
            return rest.permutations.map { [first] + $0 }
        }
    }
}

/// So many arrays inside each other.
func nested(_ depth: Int) -> String {
    String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
}
