import CLinux
import Glibc

/// An open file of this process, closed when its owner goes.
struct FileDescriptor: ~Copyable {
    /// The number, for calls inside System.
    let raw: Int32

    init(owning raw: Int32) {
        precondition(raw >= 0, "no descriptor: \(raw)")
        self.raw = raw
    }

    deinit { Self.close(self.raw) }

    /// Closes it now instead of at the end of the owner's life.
    consuming func close() {}

    /// EBADF would mean that somebody else closed a descriptor of ours, and the next one closed is a stranger's:
    /// a defect that must not go on.
    private static func close(_ raw: Int32) {
        guard Glibc.close(raw) != 0 else { return }
        precondition(errno != EBADF, "closed twice: descriptor \(raw)")
    }
}

/// What came of a read or a write that does not block.
enum Transfer: Equatable {
    case bytes(Int)
    case wouldBlock
    /// The other side has ended it: end of file, EPIPE, ECONNRESET.
    case ended
    case failed(SystemError)
}

extension FileDescriptor {
    /// Reads what is there, at most the buffer's size.
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        let count = retryingInterrupts { Glibc.read(self.raw, buffer.baseAddress, buffer.count) }
        if count > 0 { return .bytes(count) }
        if count == 0 { return .ended }
        return Self.failure("read")
    }

    /// Writes as much as fits. SIGPIPE is ignored in this process.
    func write(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        let count = retryingInterrupts { Glibc.write(self.raw, bytes.baseAddress, bytes.count) }
        return count >= 0 ? .bytes(count) : Self.failure("write")
    }

    /// The same of several pieces, as if they were one.
    func write(_ pieces: UnsafeMutableBufferPointer<iovec>) -> Transfer {
        if pieces.count == 1 { return self.write(UnsafeRawBufferPointer(pieces[0])) }
        let count = retryingInterrupts { writev(self.raw, pieces.baseAddress, Int32(pieces.count)) }
        return count >= 0 ? .bytes(count) : Self.failure("writev")
    }

    private static let sendFlags = Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL)

    /// Writes to a socket without ever waiting, whatever its mode.
    func send(_ bytes: UnsafeRawBufferPointer) -> Transfer {
        let count = retryingInterrupts {
            Glibc.send(self.raw, bytes.baseAddress, bytes.count, Self.sendFlags)
        }
        return count >= 0 ? .bytes(count) : Self.failure("send")
    }

    /// The same of several pieces, as if they were one.
    func send(_ pieces: UnsafeMutableBufferPointer<iovec>) -> Transfer {
        if pieces.count == 1 { return self.send(UnsafeRawBufferPointer(pieces[0])) }
        var message = msghdr()
        message.msg_iov = pieces.baseAddress
        message.msg_iovlen = pieces.count
        let count = retryingInterrupts { sendmsg(self.raw, &message, Self.sendFlags) }
        return count >= 0 ? .bytes(count) : Self.failure("sendmsg")
    }

    /// Bytes written to a socket that the other side has not read, with what the kernel adds to keep them. It gives
    /// them back in pieces of up to 48 KiB, each when it was read whole.
    var unreadBytes: Int {
        var count: Int32 = 0
        return ioctl(self.raw, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
    }

    private static func failure(_ call: String) -> Transfer {
        switch errno {
        case EAGAIN: .wouldBlock
        case EPIPE, ECONNRESET: .ended
        default: .failed(SystemError(call))
        }
    }

    func setNonBlocking() throws(SystemError) {
        let flags = fcntl(self.raw, F_GETFL)
        guard flags >= 0, fcntl(self.raw, F_SETFL, flags | O_NONBLOCK) >= 0 else {
            throw SystemError("fcntl")
        }
    }

    /// Waits until it can be read or written.
    ///
    /// - Returns: false when the time ran out.
    func wait(toWrite: Bool = false, for timeout: Nanoseconds) -> Bool {
        var poll = pollfd(fd: self.raw, events: Int16(toWrite ? POLLOUT : POLLIN), revents: 0)
        let milliseconds = Int32(clamping: max(0, timeout).millisecondsRoundedUp)
        return retryingInterrupts { Glibc.poll(&poll, 1, milliseconds) } > 0
    }

    /// Waits until it, or another one, can be read.
    ///
    /// - Returns: false when the time ran out.
    func wait(orOn other: borrowing FileDescriptor, for timeout: Nanoseconds) -> Bool {
        var polls = [
            pollfd(fd: self.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other.raw, events: Int16(POLLIN), revents: 0),
        ]
        let milliseconds = Int32(clamping: max(0, timeout).millisecondsRoundedUp)
        return retryingInterrupts { Glibc.poll(&polls, 2, milliseconds) } > 0
    }

    /// Opens /dev/null in place of standard descriptors that are closed, so that no socket or pipe of ours gets
    /// a number below 3, where a worker's own three would be put over it.
    static func occupyStandardNumbers() {
        while true {
            let raw = open("/dev/null", O_RDWR)
            guard raw >= 0, raw < 3 else {
                if raw >= 3 { Glibc.close(raw) }
                return
            }
        }
    }

    /// The two ends of a new pipe; close-on-exec from birth.
    static func makePipe() throws(SystemError) -> Pipe {
        var ends: [Int32] = [-1, -1]
        guard pipe2(&ends, O_CLOEXEC) == 0 else { throw SystemError("pipe2") }
        return Pipe(readEnd: FileDescriptor(owning: ends[0]), writeEnd: FileDescriptor(owning: ends[1]))
    }
}

extension UnsafeRawBufferPointer {
    fileprivate init(_ piece: iovec) { self.init(start: piece.iov_base, count: piece.iov_len) }
}

struct Pipe: ~Copyable {
    let readEnd: FileDescriptor
    let writeEnd: FileDescriptor

    /// Takes the ends apart.
    consuming func split(_ body: (consuming FileDescriptor, consuming FileDescriptor) -> Void) {
        body(self.readEnd, self.writeEnd)
    }
}
