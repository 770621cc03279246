@testable import Supervisor

/// The files of this package, for tests that hold its pages against its sources.
enum SourceTree {
    private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        .joined(separator: "/")

    /// - Parameter path: from the package's directory on.
    static func path(_ path: String) -> String { "\(self.root)/\(path)" }

    static func text(_ path: String) -> String {
        let name = path.split(separator: "/").last.map(String.init) ?? ""
        let directory = FilePath.directory(of: self.path(path))
        return String(decoding: TestDirectory(path: directory).contents(name) ?? [], as: UTF8.self)
    }

    /// The Swift files below some directories, but for those in directories of that name.
    static func sources(in directories: [String], except name: String = "") -> [String] {
        directories.flatMap { directory in
            TestDirectory.names(in: self.path(directory)).filter { $0 != name }.flatMap { entry in
                entry.hasSuffix(".swift")
                    ? ["\(directory)/\(entry)"] : self.sources(in: ["\(directory)/\(entry)"], except: name)
            }
        }
    }
}
