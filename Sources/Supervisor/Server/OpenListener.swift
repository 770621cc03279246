import Protocol

/// A socket that clients connect to, watched by the loop, until it is closed.
final class OpenListener {
    enum Kind {
        /// `socket`: everybody whom its file lets in.
        case main
        /// `control_socket`: operators.
        case control
    }

    let kind: Kind
    /// nil once it is closed.
    private var listener: UnixListener?
    private let registration: EventLoop<Source>.Registration
    /// When it is listened on again, after the system had run out of descriptors.
    var acceptsAgainAt: Instant?
    /// Why the last connection could not be accepted; nil: it could.
    var acceptFailure: SystemError?

    init(
        _ listener: consuming UnixListener, _ kind: Kind, in loop: EventLoop<Source>
    ) throws(SystemError) {
        self.kind = kind
        self.registration = try loop.register(listener.descriptor, for: .reading, as: .listener(kind))
        self.listener = consume listener
    }

    func accept() -> UnixListener.Accepted { self.listener?.accept() ?? .none }

    func setAccepting(_ isAccepting: Bool, in loop: EventLoop<Source>) {
        guard let listener = self.listener.take() else { return }
        loop.modify(listener.descriptor, self.registration, for: isAccepting ? .reading : [])
        self.listener = consume listener
    }

    /// The socket file goes, and its lock is given back.
    func close() {
        if let listener = self.listener.take() { listener.close() }
    }
}
