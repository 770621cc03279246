import CLinux

/// The end of a child, seen through its pidfd.
enum ChildExit {
    /// Takes the exit status of a child that has ended, which frees its pid.
    ///
    /// - Returns: nil while it still runs.
    static func reap(_ pidfd: borrowing FileDescriptor) -> ExitStatus? {
        Self.status(clinux_reap, pidfd)
    }

    /// The exit status of a child that has ended, which stays there to be reaped; nil while it runs.
    static func peek(_ pidfd: borrowing FileDescriptor) -> ExitStatus? {
        Self.status(clinux_peek, pidfd)
    }

    private static func status(
        _ wait: (Int32, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32,
        _ pidfd: borrowing FileDescriptor
    ) -> ExitStatus? {
        var code: Int32 = 0
        var signaled: Int32 = 0
        switch wait(pidfd.raw, &code, &signaled) {
        case 1: return signaled == 0 ? .exited(code: code) : .signaled(code)
        case 0: return nil
        case let error: preconditionFailure("waitid: errno \(-error)")
        }
    }
}

/// Reaps the children that are nobody's: as PID 1 of a container, or as a subreaper, this process inherits the
/// orphans of its workers, and those that it does not reap stay zombies for ever.
///
/// Our own children are seen through their pidfds, and nothing here may take their exit statuses away: a child that
/// has ended is only looked at, and reaped when it is not ours. One of ours that stands in front hides the others,
/// but only until it is reaped itself, which its pidfd brings about in the next tick.
struct OrphanReaper {
    /// A child has ended that may not be ours.
    private var mustLook = true

    /// SIGCHLD: one or more children have ended.
    mutating func childEnded() { self.mustLook = true }

    /// To be called at the end of each tick.
    ///
    /// - Parameter isOwn: whether a pid is of a child whose status somebody waits for.
    mutating func reap(unless isOwn: (Int32) -> Bool) {
        while self.mustLook {
            let pid = clinux_ended_child()
            guard pid != 0 else {
                self.mustLook = false
                return
            }
            guard !isOwn(pid) else { return }
            clinux_reap_child(pid)
        }
    }
}
