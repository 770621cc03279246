import Glibc
import Protocol

/// A configuration that was refused, with every reason.
struct InvalidConfiguration: Error, Equatable, CustomStringConvertible {
    /// At least one.
    var errors: [ConfigurationError]

    /// One line for each error.
    var description: String { self.errors.map(\.description).joined(separator: "\n") }
}

/// Reads configuration files.
enum ConfigurationLoader {
    /// Larger files are refused: no configuration is that long, but a wrong file may be.
    static let fileBytes = 4 << 20

    /// Why a file cannot be read, such as "No such file or directory".
    struct FileFault: Error, Equatable {
        var message: String
    }

    /// Reads a whole file.
    typealias FileReader = (_ path: String) -> Result<[UInt8], FileFault>

    /// Reads the configuration of a file, and all that is wrong with it.
    static func load(
        _ path: String, _ readFile: FileReader = readFile
    ) -> (configuration: Configuration, errors: [ConfigurationError]) {
        let (document, faults) = self.document(of: path, readFile)
        guard let document else { return (Configuration(), faults) }
        var source = ConfigurationSource(file: path)
        source.document = document
        return source.judge()
    }

    /// Reads the document of a file; nil, and why, when it is none. Its keys are not judged.
    static func document(
        of path: String, _ readFile: FileReader = readFile
    ) -> (document: JSON5Value?, errors: [ConfigurationError]) {
        switch readFile(path) {
        case .success(let contents):
            let read = JSON5Reader.read(contents)
            let errors = read.errors.map {
                ConfigurationError(path: "", $0.message, at: $0.location, file: path)
            }
            return (errors.isEmpty ? read.value : nil, errors)
        case .failure(let fault):
            return (nil, [ConfigurationError(path: "", "cannot be read: \(fault.message)", file: path)])
        }
    }

    /// Reads a whole file of at most `fileBytes`.
    static func readFile(_ path: String) -> Result<[UInt8], FileFault> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(self.currentFault()) }
        defer { close(descriptor) }
        var contents: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while contents.count <= self.fileBytes {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(self.currentFault()) }
            guard count > 0 else { return .success(contents) }
            contents += buffer[..<count]
        }
        return .failure(FileFault(message: "larger than \(ByteCountText.text(Int64(self.fileBytes)))"))
    }

    private static func currentFault() -> FileFault {
        FileFault(message: String(cString: strerror(errno)))
    }
}
