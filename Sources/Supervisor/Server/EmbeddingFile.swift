import Glibc
import Protocol

/// The file in which embeddings outlive the supervisor: a snapshot of the cache, written anew each time.
///
///     offset   bytes                       integers are little-endian
///     0        8   "EMBCACHE"
///     8        4   version: 1
///     12       4   zero
///     16           records, one behind the other
///        0     8     XXH64 of the rest of the record
///        8     8     when it was stored, milliseconds since 1970, signed
///        16    4     bytes of the key
///        20    4     bytes of the value
///        24    1     kind, the writer's own word
///        25          key, then value
///     end−24   8   number of records
///     end−16   8   length of the file
///     end−8    8   XXH64 of the header, the first 8 bytes of each record in order, and the 16 bytes before this
///
/// Of no record it is 40 bytes. Every byte counts for one checksum, and a file is used only when all of them,
/// number and length agree: it is written without waiting for the disk, so after a power failure any part of it
/// may be missing.
enum EmbeddingFile {
    static let magic = Array("EMBCACHE".utf8)
    static let version: UInt32 = 1
    static let headerBytes = 16
    static let recordHeaderBytes = 25
    static let trailerBytes = 24

    struct Record {
        var kind: UInt8
        /// Key and value are good until the next record.
        var key: UnsafeRawBufferPointer
        var value: UnsafeRawBufferPointer
        /// Milliseconds since 1970.
        var storedAt: Int64
    }

    enum Outcome: Equatable {
        case missing
        case loaded(records: Int)
        /// Nothing was taken from it. What is damaged is moved out of the way, to `path.damaged`; what is no file or
        /// cannot be read is left where it is.
        case refused(reason: String, movedTo: String?)
    }

    /// Hands out every record of the file, in the order of writing, if all of it is sound, else none.
    ///
    /// It is read twice, a slice at a time: once to judge it, once to hand it out, so that it takes little memory
    /// besides the cache's own. A mapping would spare copies, but whoever shortens a mapped file kills its reader
    /// (SIGBUS), and the lock binds only supervisors. Should such a one write into the file between the two
    /// readings, the records before the first changed one are handed out: each is proved by its own checksum.
    ///
    /// - Parameter maximumBytes: a longer file is refused.
    static func load(
        _ lock: borrowing EmbeddingFileLock, maximumBytes: Int64, each: (Record) -> Void
    ) -> Outcome {
        do throws(Fault) {
            guard var reader = try EmbeddingFileReader.open(lock.path) else { return .missing }
            guard reader.length <= maximumBytes else {
                throw .damaged("it has \(reader.length) bytes, expected at most \(maximumBytes)")
            }
            try reader.readAll { _ in }
            return .loaded(records: try reader.readAll(each))
        } catch {
            let damaged = "\(lock.path).damaged"
            let isMoved = error.isDamage && rename(lock.path, damaged) == 0
            return .refused(reason: error.reason, movedTo: isMoved ? damaged : nil)
        }
    }

    /// Why a file is not used.
    struct Fault: Error {
        var reason: String
        /// Whether it is the content of a regular file that is wrong.
        var isDamage: Bool

        static func damaged(_ reason: String) -> Fault { Fault(reason: reason, isDamage: true) }
        static func unreadable(_ reason: String) -> Fault { Fault(reason: reason, isDamage: false) }
    }
}

/// What entitles to a cache file: of several supervisors that were given the same one, one reads and writes it.
///
/// The lock file stands beside the file, as `path.lock`, and is held as long as this lives.
struct EmbeddingFileLock: ~Copyable {
    /// Why the file is not ours to use, in a sentence.
    struct Refusal: Error, CustomStringConvertible { var description: String }

    /// The file itself, where the configured path is a link to it: it is the file that is replaced, not the link.
    let path: String
    private let lock: LockFile

    init(_ path: String) throws(Refusal) {
        let file = try Self.file(at: path)
        self.lock = try Self.takeLock("\(file).lock", for: file)
        self.path = file
    }

    private static func file(at path: String) throws(Refusal) -> String {
        let file: String
        do throws(SystemError) {
            file = try FilePath.resolvingLinks(path)
        } catch {
            throw Refusal(description: error.description)
        }
        // A device or a directory is not to be replaced by a file; and nothing is to be made beside it.
        guard FileStatus(ofPath: file)?.isRegular ?? true else {
            throw Refusal(description: "\(file) is no regular file")
        }
        return file
    }

    private static func takeLock(_ lockPath: String, for path: String) throws(Refusal) -> LockFile {
        do throws(LockFile.Refusal) {
            return try LockFile.take(lockPath)
        } catch {
            switch error {
            case .held(let pid):
                throw Refusal(
                    description: "\(path) is in use by \(pid.map { "pid \($0)" } ?? "another process")")
            case .failed(let error):
                throw Refusal(description: error.description)
            }
        }
    }
}
