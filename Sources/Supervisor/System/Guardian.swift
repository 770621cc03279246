import CLinux
import Glibc

/// The process that outlives a killed supervisor, for as long as it takes to kill what is left of its workers.
///
/// It is forked first thing in `main`, while there is one thread, and holds the reading end of a pipe. Over it
/// come the groups of workers as they are started, and again, negative, when they are gone. The end of the pipe
/// means that the supervisor is gone: then every group still open is killed whose members carry this instance's
/// cookie in their environment, and then whatever else carries it (a grandchild that fled with setsid).
final class Guardian {
    /// The variable whose value marks every process of an instance.
    static let cookieName = "SUPERVISOR_INSTANCE"

    let pid: Int32
    /// Readable when the guardian has ended.
    let pidfd: FileDescriptor
    /// nil when it was told that all is over.
    private var pipe: FileDescriptor?
    /// Records that did not fit into the pipe.
    private var pending: [Int32] = []

    /// Forks the guardian.
    ///
    /// - Parameter cookie: unguessable, so that no stranger's process is killed.
    init(cookie: String) throws(SystemError) {
        let ends = try FileDescriptor.makePipe()
        let pid = clinux_fork()
        guard pid >= 0 else { throw SystemError("fork") }
        if pid == 0 { GuardianProcess.run(pipe: ends.readEnd.raw, cookie: cookie) }
        try ends.writeEnd.setNonBlocking()
        let pidfd = pidfd_open(pid, 0)
        guard pidfd >= 0 else { throw SystemError("pidfd_open") }
        self.pid = pid
        self.pidfd = FileDescriptor(owning: pidfd)
        self.pipe = .some(ends.writeEnd)
    }

    /// A group was started; it is named before anything can happen to us.
    func groupStarted(_ group: Int32) { self.tell(group) }

    /// A group is gone: its number may soon be a stranger's.
    func groupEnded(_ group: Int32) { self.tell(-group) }

    private func tell(_ record: Int32) {
        self.pending.append(record)
        while let first = self.pending.first {
            let written = withUnsafeBytes(of: first) { self.pipe?.write($0) }
            guard written == .bytes(MemoryLayout<Int32>.size) else { return }
            self.pending.removeFirst()
        }
    }

    /// How long a guardian may take to look for leftovers and end: milliseconds, but on a machine with thousands
    /// of processes and no time for this one.
    private static let patience = Nanoseconds.seconds(10)

    /// The end of a graceful stop: lets it kill what fled from its group, and waits until it is gone.
    func finish() {
        if let pipe = self.pipe.take() { pipe.close() }
        guard self.pidfd.wait(for: Self.patience) else { return }
        _ = ChildExit.reap(self.pidfd)
    }
}

/// What runs in the guardian. It shares nothing with the supervisor but the pipe.
private enum GuardianProcess {
    static func run(pipe: Int32, cookie: String) -> Never {
        setsid()  // not in the terminal's foreground group: Ctrl-C is for the supervisor
        clinux_set_name("sv-guardian")
        self.renameCommandLine("sv-guardian")
        var all = sigset_t()
        sigfillset(&all)
        sigprocmask(SIG_BLOCK, &all, nil)
        self.closeAll(but: pipe)
        let groups = self.follow(pipe)
        self.killLeftovers(groups, cookie: Array("\(Guardian.cookieName)=\(cookie)".utf8))
        _exit(0)
    }

    /// Writes another name over the arguments in place, so that whoever looks for the supervisor by its command
    /// line (pgrep, pkill) finds one process and not two.
    private static func renameCommandLine(_ name: StaticString) {
        for index in 0..<Int(CommandLine.argc) {
            guard let argument = CommandLine.unsafeArgv[index] else { return }
            let length = strlen(argument)
            memset(argument, 0, length)
            if index == 0 { memcpy(argument, name.utf8Start, min(length, name.utf8CodeUnitCount)) }
        }
    }

    private static func closeAll(but pipe: Int32) {
        if pipe > 0 { _ = close_range(0, UInt32(pipe - 1), 0) }
        _ = close_range(UInt32(pipe + 1), UInt32.max, 0)
    }

    /// Reads records until the supervisor is gone.
    private static func follow(_ pipe: Int32) -> Set<Int32> {
        var groups: Set<Int32> = []
        var record: Int32 = 0
        while retryingInterrupts({ read(pipe, &record, 4) }) == 4 {
            if record > 0 { groups.insert(record) } else { groups.remove(-record) }
        }
        return groups
    }

    /// Twice: a process may fork between the look and the kill.
    private static func killLeftovers(_ groups: Set<Int32>, cookie: [UInt8]) {
        for _ in 0..<3 {
            var found = false
            ProcessTable.forEach { pid in
                guard pid != getpid(), ProcessTable.environment(of: pid, contains: cookie) else { return }
                found = true
                let group = getpgid(pid)
                if groups.contains(group) { kill(-group, SIGKILL) }
                kill(pid, SIGKILL)
            }
            if !found { return }
            usleep(20_000)
        }
    }
}
