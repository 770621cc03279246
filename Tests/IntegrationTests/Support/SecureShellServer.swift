import Glibc
import Testing

@testable import Supervisor

/// An sshd of a test's own, on a port of the loopback: with its own configuration, host key and user key. It and
/// its sessions are killed when its owner goes.
final class SecureShellServer {
    static let program = "/usr/sbin/sshd"

    /// Whether one can be started here and logged in to: not where sshd is missing, or the account is locked.
    static let isPossible: Bool = {
        guard access(program, X_OK) == 0, let server = try? SecureShellServer() else { return false }
        return (try? Command.run(server.command("true")))?.exitCode == 0
    }()

    private let directory: TestDirectory
    private let process: ChildProcess
    private let port: UInt16

    init() throws {
        let directory = try TestDirectory()
        self.directory = directory
        for name in ["host_key", "user_key"] {
            let run = try Command.run([
                "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory.file(name),
            ])
            guard run.exitCode == 0 else { throw Failure("ssh-keygen: \(run.errors)") }
        }
        self.port = try Self.freePort()
        try directory.write(
            "[127.0.0.1]:\(self.port) \(Files.text(directory.file("host_key.pub")))", to: "known_hosts")
        try directory.write(
            """
            Port \(self.port)
            ListenAddress 127.0.0.1
            HostKey \(directory.file("host_key"))
            AuthorizedKeysFile \(directory.file("user_key.pub"))
            PidFile none
            UsePAM no
            StrictModes no
            PasswordAuthentication no
            PermitRootLogin yes
            """, to: "config")
        self.process = try ChildProcess(Self.command(in: directory))
        let port = self.port
        try eventually("sshd listens; it said \(self.process.errors)") { Self.canConnect(to: port) }
    }

    /// For root, sshd wants a directory and a user to separate privileges with. Where its installation has not made
    /// that user, it gets one in a mount namespace of its own.
    private static func command(in directory: TestDirectory) -> [String] {
        let start = "exec \(self.program) -D -e -f \(directory.file("config"))"
        guard getuid() == 0 else { return ["/bin/sh", "-c", start] }
        let users = directory.file("passwd")
        return [
            "unshare", "-m", "/bin/sh", "-c",
            "mkdir -p /run/sshd; grep -q ^sshd: /etc/passwd || { "
                + "(cat /etc/passwd; echo sshd:x:64222:65534::/run/sshd:/usr/sbin/nologin) >\(users) && "
                + "mount --bind \(users) /etc/passwd; }; \(start)",
        ]
    }

    /// The command that runs a command line on the far side.
    func command(_ line: String, options: [String] = []) -> [String] {
        [
            "ssh", "-T", "-F", "/dev/null", "-p", "\(self.port)", "-i", self.directory.file("user_key"),
            "-o", "BatchMode=yes", "-o", "ControlPath=none",
            "-o", "UserKnownHostsFile=\(self.directory.file("known_hosts"))",
        ] + options + ["127.0.0.1", line]
    }

    private static func address(_ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }

    private static func canConnect(to port: UInt16) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = self.address(port)
        return self.withPointer(to: &address) { connect(descriptor, $0, $1) } == 0
    }

    /// One that nobody listened on a moment ago.
    private static func freePort() throws -> UInt16 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = self.address(0)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        guard self.withPointer(to: &address, { bind(descriptor, $0, $1) }) == 0,
            withUnsafeMutablePointer(
                to: &address,
                {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        getsockname(descriptor, $0, &size)
                    }
                }) == 0
        else { throw Failure("no port: errno \(errno)") }
        return UInt16(bigEndian: address.sin_port)
    }

    private static func withPointer<Result>(
        to address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
