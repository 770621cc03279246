import Glibc

/// The numbered files beside a log, the youngest first: FILE.1 … FILE.`keep`, each plain or, once compressed, with
/// `.gz` behind its number.
///
///     supervisor.log  supervisor.log.1  supervisor.log.2.gz … supervisor.log.7.gz
///
/// Every step is a rename, and whatever step is the last one before a crash, the order of the files is right and none
/// is lost: a number that is free then is filled by the next rotation.
struct LogArchive {
    let path: String
    /// Files kept besides the log itself.
    let keep: Int

    func plain(_ number: Int) -> String { "\(self.path).\(number)" }
    func compressed(_ number: Int) -> String { "\(self.path).\(number).gz" }
    /// The next log, until the present one has its number.
    var successor: String { "\(self.path).rotating" }
    /// What is being compressed, until it is whole.
    var unfinished: String { "\(self.path).compressing" }

    /// The log becomes FILE.1; with none to keep it is removed. O(`keep`) calls of the system
    func push() throws(SystemError) {
        guard self.keep > 0 else { return try Self.remove(self.path) }
        let free = (1...self.keep).first { !self.exists($0) }
        if free == nil { try self.remove(self.keep) }
        for number in stride(from: (free ?? self.keep) - 1, through: 1, by: -1) {
            try Self.move(self.plain(number), to: self.plain(number + 1))
            try Self.move(self.compressed(number), to: self.compressed(number + 1))
        }
        try Self.move(self.path, to: self.plain(1))
    }

    /// Removes what an earlier start has left: files beyond those that are kept now, and unfinished ones.
    func tidy() {
        unlink(self.successor)
        unlink(self.unfinished)
        var number = self.keep + 1
        while self.exists(number), (try? self.remove(number)) != nil { number += 1 }
    }

    /// The youngest that is not compressed.
    var nextToCompress: Int? {
        guard self.keep > 0 else { return nil }
        let number = (1...self.keep).first {
            access(self.plain($0), F_OK) == 0 || access(self.compressed($0), F_OK) != 0
        }
        return number.flatMap { access(self.plain($0), F_OK) == 0 ? $0 : nil }
    }

    /// The number that a file has now.
    func number(of file: FileStatus) -> Int? {
        guard self.keep > 0 else { return nil }
        return (1...self.keep).first { FileStatus(ofPath: self.plain($0))?.isSameFile(as: file) == true }
    }

    private func exists(_ number: Int) -> Bool {
        access(self.plain(number), F_OK) == 0 || access(self.compressed(number), F_OK) == 0
    }

    private func remove(_ number: Int) throws(SystemError) {
        try Self.remove(self.plain(number))
        try Self.remove(self.compressed(number))
    }

    private static func remove(_ path: String) throws(SystemError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemError("remove \(path)") }
    }

    /// What is not there need not be moved.
    private static func move(_ path: String, to new: String) throws(SystemError) {
        guard rename(path, new) == 0 || errno == ENOENT else { throw SystemError("rename \(path)") }
    }
}
