import Glibc

/// Makes a process out of a pool's configuration: command, environment, directory, limits.
struct WorkerLauncher {
    /// The supervisor's own environment.
    let environment: [String: String]
    /// By which every process of this supervisor can be known.
    let cookie: String
    let spawner: ProcessSpawner

    /// Variables of the supervisor's environment that are not for workers.
    private static func isPrivate(_ name: String) -> Bool {
        name == "NOTIFY_SOCKET" || name.hasPrefix("LISTEN_") || name.hasPrefix("SUPERVISOR_")
    }

    func launch(_ request: SpawnRequest) throws(ProcessSpawner.Failure) -> SpawnedProcess {
        try self.spawner.spawn(self.image(for: request))
    }

    func image(for request: SpawnRequest) -> ProgramImage {
        let pool = request.configuration
        let template = request.role == .serving ? pool.command : pool.prepare
        var command = template.map { self.fill($0, request, pool) }
        if let program = command.first, program == "worker" || program == "supervisor" {
            command[0] = ProcessSpawner.sibling(program)
        }
        return ProgramImage(
            command: command, environment: self.environment(for: request, pool),
            directory: pool.directory, limits: pool.resourceLimits)
    }

    /// `{worker_id}` and `{pool}` in an argument, for ssh and its like, which carry no environment.
    private func fill(_ argument: String, _ request: SpawnRequest, _ pool: Configuration.Pool) -> String {
        argument.replacing("{worker_id}", with: request.workerID).replacing("{pool}", with: pool.name)
    }

    private func environment(for request: SpawnRequest, _ pool: Configuration.Pool) -> [String: String] {
        var result = self.environment.filter { name, _ in
            !Self.isPrivate(name) && (pool.inheritEnvironment?.contains(name) ?? true)
        }
        result.merge(pool.environment) { _, own in own }
        result["WORKER_ID"] = request.workerID
        result["WORKER_POOL"] = pool.name
        result["PROJECT_ROOT"] = self.projectRoot(of: pool)
        result[Guardian.cookieName] = self.cookie
        if result["SWIFT_BACKTRACE"] == nil { result["SWIFT_BACKTRACE"] = "enable=no" }
        return result
    }

    /// Absolute, since the worker runs in another directory than we do: relative paths of a pool are relative to its
    /// directory, and that is to ours.
    private func projectRoot(of pool: Configuration.Pool) -> String {
        let directory = pool.directory.map { Self.path($0, in: self.currentDirectory) }
        let base = directory ?? self.currentDirectory
        return pool.projectRoot.map { Self.path($0, in: base) } ?? base
    }

    private static func path(_ path: String, in directory: String) -> String {
        path.hasPrefix("/") ? path : "\(directory)/\(path)"
    }

    private var currentDirectory: String {
        guard let path = getcwd(nil, 0) else { return "." }
        defer { free(path) }
        return String(cString: path)
    }
}

extension String {
    /// The text with every occurrence of a part replaced; what was put in is not searched again.
    fileprivate func replacing(_ part: String, with replacement: String) -> String {
        var output = ""
        var rest = self[...]
        while !rest.isEmpty {
            if rest.hasPrefix(part) {
                output += replacement
                rest = rest.dropFirst(part.count)
            } else {
                output.append(rest.removeFirst())
            }
        }
        return output
    }
}
