import Protocol

/// A client's socket: cuts what it sends into messages, and keeps what waits to be sent.
final class ClientConnection {
    let token: ConnectionToken
    let socket: FileDescriptor
    let peer: Peer
    let registration: EventLoop<Source>.Registration
    var decoder: FrameDecoder
    var output = MessageBuffer()
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
    ///
    /// - Parameter owner: what its payload lies in, where that may be kept in place of a copy.
    func append(_ message: some OutgoingMessage, keeping owner: LargePayload?) {
        if self.decoder.framing == .contentLength {
            self.appendMeasured(message, keeping: owner)
        } else {
            self.output.append(line: message, keeping: owner)
        }
    }

    /// With its length before it.
    private func appendMeasured(_ message: some OutgoingMessage, keeping owner: LargePayload?) {
        var head: [UInt8] = []
        var tail: [UInt8] = []
        head.append(atMost: message.frameBytes) { message.writeHead(to: &$0) }
        tail.append(atMost: message.frameBytes) { message.writeTail(to: &$0) }
        let length = head.count + message.payload.count + tail.count
        self.output.append(atMost: 40) {
            $0.append("Content-Length: ")
            $0.append(unsigned: UInt64(length))
            $0.append("\r\n\r\n")
        }
        if let owner {
            self.output.append(message, keeping: owner)
        } else {
            self.output.append(atMost: message.mostBytes) { message.write(to: &$0) }
        }
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
