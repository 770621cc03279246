import Protocol

/// What a configuration file may say to a worker. What it does not name keeps the default here.
struct WorkerConfiguration: Equatable {
    /// `worker_id`
    var workerID: String?
    /// `index.directory`
    var indexDirectory: String?
    /// `max_concurrency`; nil: by the number of processors.
    var maxConcurrency: Int?
    /// `max_waiting`: calls that are read while all slots are busy; beyond them reading pauses.
    var maxWaiting = 256
    /// `embedding`
    var embedding = EmbeddingConfiguration()

    /// Reads a file, strictly.
    ///
    /// - Throws: a usage error with all that is wrong, one fault a line.
    init(file: String) throws(UsageError) {
        let bytes: [UInt8]
        do {
            bytes = try FileSystem.contents(of: file)
        } catch {
            throw UsageError("\(error); expected a configuration file")
        }
        let document = JSON5Reader.read(bytes)
        guard let tree = document.value, document.errors.isEmpty else {
            throw UsageError(document.errors.map { "\(file):\($0)" }.joined(separator: "\n"))
        }
        var configuration = WorkerConfiguration()
        let errors = ConfigurationObject.read(tree) { configuration.read(&$0) }
        guard errors.isEmpty else {
            throw UsageError(
                errors.map { error in
                    var error = error
                    error.file = file
                    return "\(error)"
                }.joined(separator: "\n"))
        }
        self = configuration
    }

    init() {}

    private mutating func read(_ root: inout ConfigurationObject) {
        root.read("worker_id", into: &self.workerID, Self.identifier)
        root.object("index") { index in index.read("directory", into: &self.indexDirectory, .text) }
        root.read("max_concurrency", into: &self.maxConcurrency, .integer(1...1024))
        root.read("max_waiting", into: &self.maxWaiting, .integer(0...100_000))
        root.object("embedding") { embedding in self.embedding.read(&embedding) }
    }

    private static var identifier: ConfigurationType<String> {
        .text(
            where: "a name of 1 to 128 printable characters without spaces", WorkerIdentifier.isValid)
    }
}

/// What a worker may call itself.
enum WorkerIdentifier {
    /// Of a worker that nobody named.
    static let fallback = "default"

    static func isValid(_ text: String) -> Bool {
        (1...128).contains(text.utf8.count) && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    /// Whether a first word on the command line is an id rather than a command.
    static func isFirstWord(_ text: String) -> Bool {
        text == self.fallback || text.hasPrefix("worker_")
    }
}
