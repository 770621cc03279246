import Glibc

/// Everything a serving worker needs to know. Flags override the environment, which overrides the file.
struct ServeSettings: Equatable {
    /// A processor can have that many calls in hand: one that computes and some whose answer is being written
    /// or whose index is being read from disk.
    private static let callsPerProcessor = 4

    var workerID: String
    /// nil when nothing names an index.
    var indexDirectory: String?
    var maxConcurrency: Int
    var waitingLimit: Int
    var embedding: EmbeddingSettings

    /// - Parameter workerID: the id that stood as first word; nil when there was none.
    init(
        _ arguments: CommandArguments, workerID: String?, environment: ProcessEnvironment,
        processors: Int = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    ) throws(UsageError) {
        if let workerID, let flag = arguments["--worker-id"] {
            throw UsageError("the id is given twice: \(workerID) and --worker-id \(flag)")
        }
        let configuration =
            if let file = arguments["--config"] { try WorkerConfiguration(file: file) } else {
                WorkerConfiguration()
            }
        self.workerID =
            workerID ?? arguments["--worker-id"] ?? environment["WORKER_ID"] ?? configuration.workerID
            ?? WorkerIdentifier.fallback
        guard WorkerIdentifier.isValid(self.workerID) else {
            throw UsageError("expected an id of 1 to 128 printable characters without spaces")
        }
        self.indexDirectory =
            arguments["--index"] ?? environment["WORKER_INDEX"]
            ?? configuration.indexDirectory.map { Self.resolve($0, below: environment["PROJECT_ROOT"]) }
        self.maxConcurrency = configuration.maxConcurrency ?? max(1, processors) * Self.callsPerProcessor
        self.waitingLimit = configuration.maxWaiting
        self.embedding = try configuration.embedding.settings(environment)
    }

    /// A relative path of the configuration, below the project's root where there is one.
    private static func resolve(_ path: String, below root: String?) -> String {
        guard let root, !path.hasPrefix("/") else { return path }
        return FileSystem.join(root, path)
    }
}
