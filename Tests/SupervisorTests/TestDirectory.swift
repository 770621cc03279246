import Glibc
import Testing

@testable import Supervisor

/// A directory for the files of one test, removed with all in it at the end.
struct TestDirectory {
    let path: String

    static func with<Result>(_ body: (TestDirectory) throws -> Result) throws -> Result {
        var template = Array("/tmp/supervisor-tests-XXXXXX".utf8CString)
        let made = mkdtemp(&template).map { String(cString: $0) }
        let directory = TestDirectory(path: try #require(made))
        defer { Self.remove(directory.path) }
        return try body(directory)
    }

    func file(_ name: String) -> String { "\(self.path)/\(name)" }

    func has(_ name: String) -> Bool { FileStatus(ofPath: self.file(name)) != nil }

    /// Its permission bits.
    func mode(_ name: String) -> UInt32? {
        var info = stat()
        return lstat(self.file(name), &info) == 0 ? info.st_mode & 0o7777 : nil
    }

    func write(_ bytes: [UInt8], to name: String) throws {
        let file = try FileDescriptor(opening: self.file(name), O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600)
        try bytes.withUnsafeBytes { try file.writeAll($0) }
    }

    /// nil when it cannot be read.
    func contents(_ name: String) -> [UInt8]? {
        guard let file = try? FileDescriptor(opening: self.file(name), O_RDONLY),
            let size = try? file.status().size
        else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        return (try? bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }).map { _ in bytes }
    }

    /// What is in it, sorted.
    var names: [String] { Self.names(in: self.path) }

    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func remove(_ path: String) {
        for name in self.names(in: path) { self.remove("\(path)/\(name)") }
        if unlink(path) != 0 { rmdir(path) }
    }
}
