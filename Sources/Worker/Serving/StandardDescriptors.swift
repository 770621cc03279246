import Glibc

/// Takes the protocol off descriptors 0 and 1, so that a stray read or print of some library harms nothing:
/// reading 0 ends at once, and what is printed to 1 goes to standard error.
struct StandardDescriptors {
    let input: Int32
    let output: Int32

    /// Must run before anything else could use the descriptors.
    init() throws(SystemError) {
        self.input = try Self.move(STDIN_FILENO, name: "standard input")
        self.output = try Self.move(STDOUT_FILENO, name: "standard output")
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard null >= 0 else { throw SystemError("open", "/dev/null") }
        guard dup2(null, STDIN_FILENO) >= 0,
            dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 || dup2(null, STDOUT_FILENO) >= 0
        else { throw SystemError("replace", "the standard descriptors") }
        close(null)
    }

    private static func move(_ descriptor: Int32, name: String) throws(SystemError) -> Int32 {
        let moved = fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
        guard moved >= 0 else { throw SystemError("duplicate", name) }
        return moved
    }
}
