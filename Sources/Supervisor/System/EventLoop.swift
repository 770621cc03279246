import CLinux
import Glibc

/// What a descriptor is waited for.
struct Interest: OptionSet, Equatable {
    let rawValue: UInt32
    static let reading = Interest(rawValue: EPOLLIN.rawValue)
    static let writing = Interest(rawValue: EPOLLOUT.rawValue)
}

/// What a descriptor is ready for. A hang-up is always told, whatever was asked.
struct Readiness {
    let rawValue: UInt32
    var canRead: Bool { self.rawValue & EPOLLIN.rawValue != 0 }
    var canWrite: Bool { self.rawValue & EPOLLOUT.rawValue != 0 }
    /// Both directions are over, or the descriptor is in error.
    var isHungUp: Bool { self.rawValue & (EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 }
}

/// Epoll, level-triggered, for one thread.
///
/// Each descriptor is registered with what it is to its owner (`Source`). The token of the registration goes
/// through the kernel and comes back with the event; one that was deregistered meanwhile, in the same batch of
/// events, is recognised by its generation and dropped.
final class EventLoop<Source> {
    typealias Registration = Token<Source>

    private let epoll: FileDescriptor
    private var sources = SlotMap<Source>()
    private let events: UnsafeMutableBufferPointer<epoll_event>
    /// epoll_pwait2 is there (Linux 5.11).
    private var hasNanoseconds = true

    /// - Parameter batch: events taken from the kernel at once.
    init(batch: Int = 256) throws(SystemError) {
        let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard raw >= 0 else { throw SystemError("epoll_create1") }
        self.epoll = FileDescriptor(owning: raw)
        self.events = .allocate(capacity: batch)
    }

    deinit { self.events.deallocate() }

    func register(
        _ descriptor: borrowing FileDescriptor, for interest: Interest, as source: Source
    ) throws(SystemError) -> Registration {
        let token = self.sources.insert(source)
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token.word))
        guard epoll_ctl(self.epoll.raw, EPOLL_CTL_ADD, descriptor.raw, &event) == 0 else {
            let error = SystemError("epoll_ctl(ADD)")
            self.sources.remove(token)
            throw error
        }
        return token
    }

    func modify(
        _ descriptor: borrowing FileDescriptor, _ token: Registration, for interest: Interest
    ) {
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: token.word))
        guard epoll_ctl(self.epoll.raw, EPOLL_CTL_MOD, descriptor.raw, &event) == 0 else {
            preconditionFailure("epoll_ctl(MOD): \(errno)")
        }
    }

    /// Takes a descriptor out; events of it that are in the present batch are dropped.
    func deregister(_ descriptor: borrowing FileDescriptor, _ token: Registration) {
        // A registered descriptor may be shared with a child that forked: closing it would not take it out.
        guard epoll_ctl(self.epoll.raw, EPOLL_CTL_DEL, descriptor.raw, nil) == 0 else {
            preconditionFailure("epoll_ctl(DEL): \(errno)")
        }
        self.sources.remove(token)
    }

    /// Waits until something is ready or the time is over.
    ///
    /// - Parameter timeout: nil: for ever; 0 or less: not at all.
    /// - Returns: how many events there are, for `event(at:)`.
    func wait(for timeout: Nanoseconds?) -> Int {
        let count = self.waitOnce(timeout)
        if count >= 0 { return Int(count) }
        if errno == ENOSYS, self.hasNanoseconds {
            self.hasNanoseconds = false
            return self.wait(for: timeout)
        }
        precondition(errno == EINTR, "epoll_wait: \(errno)")
        return 0
    }

    private func waitOnce(_ timeout: Nanoseconds?) -> Int32 {
        let capacity = Int32(self.events.count)
        guard self.hasNanoseconds else {
            let milliseconds = timeout.map { Int32(clamping: max(0, $0).millisecondsRoundedUp) } ?? -1
            return epoll_wait(self.epoll.raw, self.events.baseAddress, capacity, milliseconds)
        }
        guard let timeout else {
            return epoll_pwait2(self.epoll.raw, self.events.baseAddress, capacity, nil, nil)
        }
        let left = max(0, timeout)
        var time = timespec(tv_sec: Int(left / 1_000_000_000), tv_nsec: Int(left % 1_000_000_000))
        return epoll_pwait2(self.epoll.raw, self.events.baseAddress, capacity, &time, nil)
    }

    /// One event of the last `wait`; nil when its descriptor was deregistered since.
    func event(at index: Int) -> (source: Source, readiness: Readiness)? {
        let event = self.events[index]
        let token = Registration(word: event.data.u64)
        guard self.sources.contains(token) else { return nil }
        return (self.sources[token], Readiness(rawValue: event.events))
    }
}
