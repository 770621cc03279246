import CLinux
import Glibc

/// Signals as events of the loop (signalfd). While it lives the signals are blocked: no handler ever runs.
struct SignalQueue: ~Copyable {
    struct Signal {
        var number: Int32
        /// Who sent it; 0 for the kernel, such as a key on the terminal.
        var pid: Int32
    }

    let descriptor: FileDescriptor

    init(_ numbers: [Int32]) throws(SystemError) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        guard sigprocmask(SIG_BLOCK, &set, nil) == 0 else { throw SystemError("sigprocmask") }
        let raw = signalfd(-1, &set, Int32(SFD_CLOEXEC) | Int32(SFD_NONBLOCK))
        guard raw >= 0 else { throw SystemError("signalfd") }
        self.descriptor = FileDescriptor(owning: raw)
    }

    /// The next signal that waits; nil when there is none.
    func next() -> Signal? {
        var info = signalfd_siginfo()
        let size = MemoryLayout<signalfd_siginfo>.size
        let count = retryingInterrupts { read(self.descriptor.raw, &info, size) }
        guard count == size else { return nil }
        return Signal(number: Int32(info.ssi_signo), pid: Int32(bitPattern: info.ssi_pid))
    }

    /// A write to a pipe without reader, or beyond the limit on the size of a file, is an error of that write, not the
    /// end of this process.
    static func ignoreFailingWrites() {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }

    /// Whoever started us may ignore SIGCHLD, which is inherited: then the kernel would throw the exit statuses of
    /// our children away.
    static func keepExitStatuses() { signal(SIGCHLD, SIG_DFL) }
}
