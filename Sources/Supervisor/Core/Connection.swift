/// A client, as far as decisions about it need to know.
struct Connection {
    /// The peer's user, by SO_PEERCRED.
    let peer: Peer
    let isOnControlSocket: Bool
    /// Whether its peer may call operators' methods here; decided anew with every configuration.
    var isOperator = false
    /// The client has half-closed: it is answered what it asked, then the connection is closed.
    var isInputEnded = false
    /// Reading is paused until output or memory is given back.
    var isPaused = false
    /// When the client was last seen to take some of the output that waits for it, and what of it the kernel held
    /// at the last look; nil before the first.
    var tookOutputAt = Instant(nanoseconds: 0)
    var unreadBytes: Int?
    /// It has sent a message that breaks the contract, and that was logged.
    var hasSentBadMessage = false
    /// Batches under way.
    var openBatches = 0
    /// Answers that wait for the rest of their batches.
    var batchBytes = 0
    /// What was passed on of streams and may wait to be sent.
    var chunks = ChunkBacklog()

    init(peer: Peer, isOnControlSocket: Bool) {
        self.peer = peer
        self.isOnControlSocket = isOnControlSocket
    }
}

/// Who is at the other end of a Unix socket.
struct Peer: Equatable, Sendable {
    var pid: Int32
    var uid: UInt32
}
