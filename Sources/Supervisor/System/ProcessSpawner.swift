import CLinux
import Glibc

/// What to start.
struct ProgramImage {
    /// A path with a slash, relative ones to the directory, or a name that is looked up in PATH.
    var command: [String]
    var environment: [String: String]
    /// nil: the supervisor's own.
    var directory: String?
    var limits: [Configuration.ResourceLimit] = []
}

/// A started process and our ends of its three pipes, which do not block.
struct SpawnedProcess: ~Copyable {
    let pid: Int32
    let pidfd: FileDescriptor
    let input: FileDescriptor
    let output: FileDescriptor
    let errors: FileDescriptor
}

/// A started process on descriptors that are not ours to keep.
struct BareProcess: ~Copyable {
    let pid: Int32
    let pidfd: FileDescriptor
}

/// Starts processes the way the promises ask for: own group, default signals, nothing inherited but three
/// pipes, killed with the supervisor.
struct ProcessSpawner {
    /// A reason in words, with the program's name.
    struct Failure: Error, Equatable, CustomStringConvertible {
        var description: String
        /// Whether the system has run out of something, rather than the command being wrong.
        var isResourceShortage: Bool
    }

    /// Limits that the supervisor raised for itself, as they were: workers get them back.
    var originalLimits: [ProcessLimits.Original] = []
    /// Sent to each process when the spawning thread ends; 0 in unit tests, whose threads come and go.
    var deathSignal: Int32 = SIGKILL

    func spawn(_ image: ProgramImage) throws(Failure) -> SpawnedProcess {
        guard let name = image.command.first else {
            throw Failure(description: "the command is empty", isResourceShortage: false)
        }
        let path = try Self.resolve(name, environment: image.environment)
        do {
            let input = try FileDescriptor.makePipe()
            let output = try FileDescriptor.makePipe()
            let errors = try FileDescriptor.makePipe()
            let process = try self.clone(path, image, input.readEnd, output.writeEnd, errors.writeEnd)
            try input.writeEnd.setNonBlocking()
            try output.readEnd.setNonBlocking()
            try errors.readEnd.setNonBlocking()
            return SpawnedProcess(
                pid: process.pid, pidfd: FileDescriptor(owning: process.pidfd), input: input.writeEnd,
                output: output.readEnd, errors: errors.readEnd)
        } catch {
            throw Self.explain(error, path: path, image)
        }
    }

    /// Starts a process on the caller's descriptors, which must not be the standard ones.
    func spawn(
        _ image: ProgramImage, input: borrowing FileDescriptor, output: borrowing FileDescriptor,
        errors: borrowing FileDescriptor
    ) throws(Failure) -> BareProcess {
        let path = try Self.resolve(image.command.first ?? "", environment: image.environment)
        do throws(SystemError) {
            let process = try self.clone(path, image, input, output, errors)
            return BareProcess(pid: process.pid, pidfd: FileDescriptor(owning: process.pidfd))
        } catch {
            throw Self.explain(error, path: path, image)
        }
    }

    private func clone(
        _ path: String, _ image: ProgramImage, _ input: borrowing FileDescriptor,
        _ output: borrowing FileDescriptor, _ errors: borrowing FileDescriptor
    ) throws(SystemError) -> (pid: Int32, pidfd: Int32) {
        let arguments = CStringArray(image.command)
        let environment = CStringArray(image.environment.map { "\($0.key)=\($0.value)" }.sorted())
        let limits = self.limits(image)
        var spawn = clinux_spawn()
        spawn.standard_input = input.raw
        spawn.standard_output = output.raw
        spawn.standard_error = errors.raw
        spawn.death_signal = self.deathSignal
        spawn.argv = UnsafePointer(arguments.pointer)
        spawn.envp = UnsafePointer(environment.pointer)
        let error = path.withCString { path in
            Self.withOptionalCString(image.directory) { directory in
                limits.withUnsafeBufferPointer { limits in
                    spawn.path = path
                    spawn.directory = directory
                    spawn.limits = limits.baseAddress
                    spawn.limit_count = Int32(limits.count)
                    return clinux_spawn(&spawn)
                }
            }
        }
        guard error == 0 else {
            throw SystemError(spawn.failure.map { String(cString: $0) } ?? "spawn", error)
        }
        return (spawn.pid, spawn.pidfd)
    }

    private static func withOptionalCString<Result>(
        _ text: String?, _ body: (UnsafePointer<CChar>?) -> Result
    ) -> Result {
        guard let text else { return body(nil) }
        return text.withCString(body)
    }

    /// In the order in which they are set: a pool's own go after the original ones.
    private func limits(_ image: ProgramImage) -> [clinux_limit] {
        self.originalLimits.map { clinux_limit(resource: $0.kind.number, soft: $0.soft, hard: $0.hard) }
            + image.limits.map { clinux_limit(resource: $0.kind.number, soft: $0.value, hard: $0.value) }
    }

    private static func explain(_ error: SystemError, path: String, _ image: ProgramImage) -> Failure {
        let isShortage = [EAGAIN, ENOMEM, EMFILE, ENFILE].contains(error.number)
        let text =
            switch error.call {
            case "exec": "\(path): \(error.text)"
            case "chdir": "directory \(image.directory ?? ""): \(error.text)"
            default: "\(path): \(error)"
            }
        return Failure(description: text, isResourceShortage: isShortage)
    }
}

// MARK: - Finding programs

extension ProcessSpawner {
    /// The path of a program: a name without a slash is looked up in PATH, as a shell would.
    static func resolve(_ name: String, environment: [String: String]) throws(Failure) -> String {
        guard !name.contains("/") else { return name }
        let path = environment["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        var found: String?
        for directory in path.split(separator: ":", omittingEmptySubsequences: false) {
            let candidate = "\(directory.isEmpty ? "." : String(directory))/\(name)"
            guard self.isFile(candidate) else { continue }
            if access(candidate, X_OK) == 0 { return candidate }
            found = found ?? candidate
        }
        if let found {
            throw Failure(description: "\(found): it is not executable", isResourceShortage: false)
        }
        throw Failure(description: "\(name): no such program in PATH (\(path))", isResourceShortage: false)
    }

    private static func isFile(_ path: String) -> Bool {
        var info = stat()
        return stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFREG
    }

    /// The path of the running program; empty when /proc does not tell.
    static var ownProgram: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        return String(
            decoding: buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The path of a program that stands beside the running one.
    static func sibling(_ name: String) -> String {
        let own = self.ownProgram
        let directory = own.lastIndex(of: "/").map { own[..<$0] } ?? "."
        return "\(directory)/\(name)"
    }
}

/// Strings as C wants them for exec: a null-terminated array of pointers, freed with its owner.
private final class CStringArray {
    let pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        self.count = strings.count
        self.pointer = .allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { self.pointer[index] = strdup(string) }
        self.pointer[strings.count] = nil
    }

    deinit {
        for index in 0..<self.count { free(self.pointer[index]) }
        self.pointer.deallocate()
    }
}
