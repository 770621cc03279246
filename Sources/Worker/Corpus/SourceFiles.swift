/// A file that goes into an index, and the state it was in.
struct SourceFile: Equatable {
    var path: String
    var size: Int
    /// Nanoseconds since 1970.
    var modified: Int64
}

/// Finds the files to index below paths.
enum SourceFiles {
    /// All files of a known kind, in a fixed order; a file named itself is taken whatever it is called.
    ///
    /// Names that begin with a dot are passed over, as are links to directories (they could go in circles)
    /// and, in a folder with a `corpus.jsonl`, the queries beside it (BEIR's layout).
    static func find(_ paths: [String]) throws(SystemError) -> [SourceFile] {
        var files: [SourceFile] = []
        for path in paths {
            let status = try FileSystem.status(of: path)
            if status.kind == .directory {
                try self.walk(path, into: &files)
            } else {
                files.append(SourceFile(path: path, size: status.size, modified: status.modified))
            }
        }
        var seen: Set<String> = []
        return files.filter { seen.insert($0.path).inserted }
    }

    private static func walk(_ directory: String, into files: inout [SourceFile]) throws(SystemError) {
        let names = try FileSystem.names(in: directory)
        let isCollection = names.contains("corpus.jsonl")
        for name in names where !name.hasPrefix(".") {
            if isCollection, name == "queries.jsonl" { continue }
            let path = FileSystem.join(directory, name)
            let entry = try FileSystem.status(of: path, followingLinks: false)
            if entry.kind == .directory {
                try self.walk(path, into: &files)
            } else if TextFormat(fileName: name) != nil, let status = self.regularFile(path) {
                files.append(SourceFile(path: path, size: status.size, modified: status.modified))
            }
        }
    }

    /// The state of a file or of what a link leads to; nil for anything else, such as a dangling link.
    private static func regularFile(_ path: String) -> FileStatus? {
        guard let status = try? FileSystem.status(of: path), status.kind == .regular else { return nil }
        return status
    }
}
