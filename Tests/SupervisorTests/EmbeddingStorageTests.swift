import Glibc
import Protocol
import Testing

@testable import Supervisor

/// What the core is told of the file of embeddings: whether it is written.
@Suite struct EmbeddingStorageTests {
    private static func storage(
        _ directory: TestDirectory
    ) throws -> (storage: EmbeddingStorage, log: LogWriter) {
        let log = try LogWriter(.init(format: .json, file: directory.file("log")))
        return (try #require(EmbeddingStorage(directory.file("e"), log)), log)
    }

    private static func append(_ storage: EmbeddingStorage, bytes: Int) {
        [UInt8](repeating: 1, count: bytes).withUnsafeBytes {
            storage.append(0, key: $0, value: $0, storedAt: 0)
        }
    }

    @Test func saysThatItIsWritten() throws {
        try TestDirectory.with { directory in
            let (storage, _) = try Self.storage(directory)
            try #require(storage.begin())
            Self.append(storage, bytes: 10)
            #expect(storage.end(durably: false))
            #expect(directory.names.contains("e"))
        }
    }

    @Test func saysThatItsEndFailed() throws {
        try TestDirectory.with { directory in
            let (storage, log) = try Self.storage(directory)
            try #require(storage.begin())
            unlink(directory.file("e.tmp"))
            #expect(!storage.end(durably: false))
            #expect(!directory.names.contains("e"))
            log.flush()
            let text = String(decoding: directory.contents("log") ?? [], as: UTF8.self)
            #expect(text.contains(#""event":"cache.file_failed""#) && text.contains(#""error":"rename "#))
            try #require(storage.begin())
            #expect(storage.end(durably: false), "the next one is another")
        }
    }

    /// The limit on the size of a file stands for a full disk.
    @Test func saysThatSomethingBeforeItsEndFailed() async {
        await #expect(processExitsWith: .success) {
            SignalQueue.ignoreFailingWrites()
            var limit = rlimit(rlim_cur: 300_000, rlim_max: 300_000)
            try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
            try TestDirectory.with { directory in
                let (storage, _) = try EmbeddingStorageTests.storage(directory)
                try #require(storage.begin())
                EmbeddingStorageTests.append(storage, bytes: 200_000)
                EmbeddingStorageTests.append(storage, bytes: 10)
                #expect(!storage.end(durably: false))
                #expect(!directory.names.contains("e"))
            }
        }
    }
}
