import Foundation
import Glibc

/// A directory of a test's own, removed with all that is in it. Its name is short: sockets live in it.
final class TestDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/svt-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw Failure("mkdtemp: errno \(errno)") }
        self.path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    func file(_ name: String) -> String { "\(self.path)/\(name)" }

    @discardableResult
    func write(_ text: String, to name: String, mode: mode_t = 0o644) throws -> String {
        try self.write(Array(text.utf8), to: name, mode: mode)
    }

    @discardableResult
    func write(_ bytes: [UInt8], to name: String, mode: mode_t = 0o644) throws -> String {
        let path = self.file(name)
        let directory = path.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        try FileManager.default.createDirectory(
            atPath: directory.joined(separator: "/"), withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: path, contents: Data(bytes)), chmod(path, mode) == 0
        else { throw Failure("cannot write \(path)") }
        return path
    }
}

enum Files {
    static func bytes(_ path: String) -> [UInt8] {
        FileManager.default.contents(atPath: path).map(Array.init) ?? []
    }
    static func text(_ path: String) -> String { String(decoding: self.bytes(path), as: UTF8.self) }
    static func lines(_ path: String) -> [String] {
        self.text(path).split(separator: "\n").map(String.init)
    }
    static func exists(_ path: String) -> Bool {
        var info = stat()
        return lstat(path, &info) == 0
    }
}
