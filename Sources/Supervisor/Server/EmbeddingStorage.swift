import Protocol

/// The file of embeddings of a supervisor that runs: loaded once, written anew when the core says so. Whatever goes
/// wrong with it is logged, and never stops the service.
final class EmbeddingStorage {
    /// A file that is longer was not written by us for any cache that makes sense.
    private static let leastMaximum: Int64 = 8 << 30

    private let lock: EmbeddingFileLock
    private let log: LogWriter
    private var writer: EmbeddingFileWriter?
    private var isFailing = false

    /// - Returns: nil when another supervisor has the file, or there is no place for it: then nothing is kept.
    init?(_ path: String, _ log: LogWriter) {
        self.log = log
        do throws(EmbeddingFileLock.Refusal) {
            self.lock = try EmbeddingFileLock(path)
        } catch {
            log.write(
                LogRecord(
                    level: .warning, event: "cache.file_unused",
                    fields: [("file", .string(path)), ("error", .string(error.description))]))
            return nil
        }
    }

    /// Hands what the file holds to the core.
    func load(into core: inout SupervisorCore) {
        let started = Clock.now
        var kept = 0
        let most = max(core.configuration.cache.embeddingCacheBytes * 2, Self.leastMaximum)
        let outcome = EmbeddingFile.load(self.lock, maximumBytes: most) { record in
            if core.restoreEmbedding(
                record.kind, key: record.key, value: record.value, storedAt: record.storedAt)
            {
                kept += 1
            }
        }
        let file: (key: StaticString, value: LogValue) = ("file", .string(self.lock.path))
        switch outcome {
        case .missing: break
        case .loaded(let records):
            let milliseconds = Clock.now.duration(since: started).inMilliseconds
            self.write(
                .info, "cache.file_loaded",
                [
                    file, ("records", .integer(records)), ("of_use", .integer(kept)),
                    ("after_ms", .number(milliseconds)),
                ])
        case .refused(let reason, let movedTo):
            self.write(
                .warning, "cache.file_refused",
                [
                    file, ("error", .string(reason)),
                    ("moved_to", .string(movedTo ?? "nowhere: it is left as it is")),
                ])
        }
    }

    private func write(
        _ level: LogLevel, _ event: StaticString, _ fields: [(key: StaticString, value: LogValue)]
    ) {
        self.log.write(LogRecord(level: level, event: event, fields: fields))
    }

    // MARK: Writing

    func begin() -> Bool {
        self.writer = nil
        do throws(SystemError) {
            self.writer = try EmbeddingFileWriter(self.lock)
            return true
        } catch {
            self.note(error)
            return false
        }
    }

    func append(
        _ kind: UInt8, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, storedAt: Int64
    ) {
        do throws(SystemError) {
            try self.writer?.append(kind: kind, key: key, value: value, storedAt: storedAt)
        } catch {
            self.writer = nil
            self.note(error)
        }
    }

    /// - Returns: whether all that was appended is in place; why not, is in the log.
    func end(durably: Bool) -> Bool {
        guard let writer = self.writer.take() else { return false }
        do throws(SystemError) {
            try writer.commit(durably: durably)
            if self.isFailing { self.write(.info, "cache.file_written", [("file", .string(self.lock.path))]) }
            self.isFailing = false
            return true
        } catch {
            self.note(error)
            return false
        }
    }

    /// The file there was stays; the core tries again later. Said once for a disk that is full for hours.
    private func note(_ error: SystemError) {
        guard !self.isFailing else { return }
        self.isFailing = true
        self.write(
            .error, "cache.file_failed",
            [("file", .string(self.lock.path)), ("error", .string("\(error)"))])
    }
}
