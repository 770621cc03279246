import CLinux
import Glibc

/// Where the socket is when nobody says (protocol §7): for root `/run`, then the user's runtime directory, then a
/// private directory in `/tmp`.
enum SocketPath {
    private static let fileName = "supervisor.sock"

    /// Every default place, the best first.
    static func defaults(environment: [String: String], uid: UInt32) -> [String] {
        var paths: [String] = []
        if uid == 0 { paths.append("/run/\(self.fileName)") }
        if let directory = environment["XDG_RUNTIME_DIR"], !directory.isEmpty {
            paths.append("\(directory)/\(self.fileName)")
        }
        paths.append("\(self.privateDirectory(uid))/\(self.fileName)")
        return paths
    }

    private static func privateDirectory(_ uid: UInt32) -> String { "/tmp/supervisor-\(uid)" }

    /// Where to look for a running supervisor.
    static func candidates(given: String?, environment: [String: String]) -> [String] {
        if let given { return [given] }
        if let path = environment["SUPERVISOR_SOCKET"], !path.isEmpty { return [path] }
        return self.defaults(environment: environment, uid: getuid())
    }

    /// The first default place that may be created.
    ///
    /// - Throws: what was tried, when none may.
    static func forListening(environment: [String: String]) throws(UnixListener.Refusal) -> String {
        let uid = getuid()
        var faults: [String] = []
        for path in self.defaults(environment: environment, uid: uid) {
            let directory = String(path.dropLast(self.fileName.count + 1))
            if let fault = self.fault(ofDirectory: directory, uid: uid) {
                faults.append("\(path): \(fault)")
            } else {
                return path
            }
        }
        throw UnixListener.Refusal(
            description:
                "no place for the socket (choose one with --socket): \(faults.joined(separator: "; "))")
    }

    /// Why a socket may not be created in a directory; the private one is made when it is missing.
    private static func fault(ofDirectory path: String, uid: UInt32) -> String? {
        let isPrivate = path == self.privateDirectory(uid)
        if isPrivate, mkdir(path, 0o700) != 0, errno != EEXIST { return SystemError("mkdir").description }
        if isPrivate, let fault = self.fault(ofPrivateDirectory: path, uid: uid) { return fault }
        return access(path, W_OK) == 0 ? nil : SystemError("directory").text
    }

    /// Why a user's private directory is none: anybody can make one of its name, and whoever owns it, or can write to
    /// it, decides who listens there.
    private static func fault(ofPrivateDirectory path: String, uid: UInt32) -> String? {
        var info = stat()
        guard lstat(path, &info) == 0 else { return SystemError("directory").text }
        guard info.st_mode & S_IFMT == S_IFDIR else { return "\(path) is no directory" }
        guard info.st_uid == uid else { return "\(path) belongs to user \(info.st_uid)" }
        guard info.st_mode & 0o022 == 0 else { return "others can write to \(path)" }
        return nil
    }

    /// Why a user is not to connect to a place, whoever listens there: it is in his private directory, which is none.
    static func faultForConnecting(to path: String, uid: UInt32) -> String? {
        let directory = self.privateDirectory(uid)
        guard path == "\(directory)/\(self.fileName)" else { return nil }
        return self.fault(ofPrivateDirectory: directory, uid: uid)
    }
}
