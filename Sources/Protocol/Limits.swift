/// The limits of the contract that both sides keep, with their defaults (protocol §1).
public struct MessageLimits: Equatable, Sendable {
    /// Bytes of one message, its line end not counted.
    public var messageBytes = 10 * 1024 * 1024
    /// Arrays and objects open at once, the message's own and a batch's counted; 1 to 64.
    public var depth = JSONScanner.defaultDepthLimit
    /// Calls and notifications in one batch.
    public var batchCount = 100
    /// Bytes of an id as it stands in the message, quotes included.
    public var idBytes = 256
    /// Bytes of a method's name, escapes resolved.
    public var methodBytes = 128
    /// Printable characters of `metadata.request_id` and `metadata.traceparent`.
    public var metadataTextCharacters = 128
    /// Bytes of one header line of a connection with Content-Length framing.
    public var headerLineBytes = 4 * 1024

    public init() {}
}
