import Glibc

@testable import Supervisor

/// A directory for one test's log and its old files, removed with all that is in it.
final class LogDirectory {
    private let directory: TestDirectory
    var path: String { self.directory.path }
    /// The log's.
    var log: String { self.directory.file("log") }

    init() throws {
        var template = Array("/tmp/log-XXXXXX\0".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
        let path = template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        self.directory = TestDirectory(path: String(decoding: path, as: UTF8.self))
    }

    deinit { TestDirectory.remove(self.path) }

    /// What is in it, sorted.
    var names: [String] { self.directory.names }

    func write(_ text: String, to name: String) throws {
        try self.directory.write(Array(text.utf8), to: name)
    }

    /// What a file holds; empty when it is not there.
    func text(_ name: String = "log") -> String {
        String(decoding: self.directory.contents(name) ?? [], as: UTF8.self)
    }

    func lines(_ name: String = "log") -> [String] { self.text(name).split(separator: "\n").map(String.init) }
}

extension FileDescriptor {
    /// All that can be read without waiting.
    var text: String {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 * 1024)
        while case .bytes(let count) = chunk.withUnsafeMutableBytes({ self.read(into: $0) }) {
            bytes += chunk[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
