import Protocol

/// A client's socket: cuts what it sends into messages, and keeps what waits to be sent.
final class ClientConnection {
    let token: ConnectionToken
    let socket: FileDescriptor
    let peer: Peer
    let registration: EventLoop<Source>.Registration
    var decoder: FrameDecoder
    var output = OutputBuffer()
    private(set) var interest = Interest.reading
    /// In the list of connections with something to flush.
    var isDirty = false
    /// Some output could not be sent; the core's stall timer runs.
    var isStalled = false
    var closesWhenFlushed = false

    init(
        token: ConnectionToken, socket: consuming FileDescriptor, peer: Peer,
        registration: EventLoop<Source>.Registration, limits: MessageLimits
    ) {
        self.token = token
        self.socket = socket
        self.peer = peer
        self.registration = registration
        self.decoder = FrameDecoder(framing: nil, limits: limits)
    }

    /// Appends one message with the framing that the client chose.
    func append(_ body: (inout [UInt8]) -> Void) {
        guard self.decoder.framing == .contentLength else {
            body(&self.output.bytes)
            self.output.bytes.append(0x0A)
            return
        }
        var message: [UInt8] = []
        body(&message)
        self.output.bytes.append(contentsOf: "Content-Length: \(message.count)\r\n\r\n".utf8)
        self.output.bytes.append(contentsOf: message)
    }

    /// What the connection holds: an unfinished message, and output that waits.
    var heldBytes: Int { self.output.count + self.decoder.heldBytes }

    func setInterest(_ interest: Interest, _ isOn: Bool, in loop: EventLoop<Source>) {
        var wanted = self.interest
        if isOn { wanted.insert(interest) } else { wanted.remove(interest) }
        guard wanted != self.interest else { return }
        self.interest = wanted
        loop.modify(self.socket, self.registration, for: wanted)
    }
}
