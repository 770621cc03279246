import CLinux

enum ProcessHandle {
    /// A descriptor that is readable once the process has ended; nil when there is no such process.
    static func open(_ pid: Int32) -> FileDescriptor? {
        let raw = pidfd_open(pid, 0)
        return raw >= 0 ? FileDescriptor(owning: raw) : nil
    }
}
