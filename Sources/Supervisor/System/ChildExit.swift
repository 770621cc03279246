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
