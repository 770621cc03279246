import Glibc
import Protocol

/// Reads a cache file from its begin to its end, and believes nothing that it finds there.
struct EmbeddingFileReader: ~Copyable {
    private typealias Fault = EmbeddingFile.Fault

    /// Read at once; a larger record makes the buffer grow.
    private static let sliceBytes = 256 * 1024

    private let file: FileDescriptor
    /// Bytes of the file.
    let length: Int64
    /// What was read and not yet used: `unused` of the buffer, and where the first of them stands in the file.
    private var buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: EmbeddingFileReader.sliceBytes, alignment: 16)
    private var unused = 0..<0
    private var position: Int64 = 0

    /// - Returns: nil when there is no file.
    static func open(_ path: String) throws(EmbeddingFile.Fault) -> EmbeddingFileReader? {
        do throws(SystemError) {
            let file = try FileDescriptor(opening: path, O_RDONLY)
            let status = try file.status()
            guard status.isRegular else { throw SystemError("\(path) is no regular file", EINVAL) }
            return EmbeddingFileReader(file: file, length: status.size)
        } catch {
            guard error.number != ENOENT else { return nil }
            throw .unreadable(error.description)
        }
    }

    private init(file: consuming FileDescriptor, length: Int64) {
        self.file = file
        self.length = length
    }

    deinit { self.buffer.deallocate() }

    /// Reads all of it.
    ///
    /// - Parameter each: is given each record, when the record itself has been proved; the whole is at the return.
    /// - Returns: the number of records.
    @discardableResult
    mutating func readAll(_ each: (EmbeddingFile.Record) -> Void) throws(EmbeddingFile.Fault) -> Int {
        self.unused = 0..<0
        self.position = 0
        let end = self.length - Int64(EmbeddingFile.trailerBytes)
        guard end >= Int64(EmbeddingFile.headerBytes) else {
            throw .damaged("it has only \(self.length) bytes")
        }
        var checksum = XXHash64()
        try self.readHeader(&checksum)
        var records = 0
        while self.position < end {
            try self.readRecord(before: end, &checksum, each)
            records += 1
        }
        try self.readTrailer(records, checksum)
        return records
    }

    private mutating func readHeader(_ checksum: inout XXHash64) throws(Fault) {
        try self.fill(EmbeddingFile.headerBytes)
        let (magic, version) = self.withUnused(EmbeddingFile.headerBytes) { header in
            checksum.update(header)
            return (header.prefix(8).elementsEqual(EmbeddingFile.magic), header.integer(8, as: UInt32.self))
        }
        guard magic else { throw .damaged("it does not begin as a cache file does") }
        guard version == EmbeddingFile.version else {
            throw .damaged("it has version \(version), expected \(EmbeddingFile.version)")
        }
        self.use(EmbeddingFile.headerBytes)
    }

    private mutating func readRecord(
        before end: Int64, _ checksum: inout XXHash64, _ each: (EmbeddingFile.Record) -> Void
    ) throws(Fault) {
        let room = end - self.position - Int64(EmbeddingFile.recordHeaderBytes)
        guard room >= 0 else { throw self.damagedRecord }
        try self.fill(EmbeddingFile.recordHeaderBytes)
        let (keyCount, valueCount) = self.withUnused(EmbeddingFile.recordHeaderBytes) {
            (Int($0.integer(16, as: UInt32.self)), Int($0.integer(20, as: UInt32.self)))
        }
        guard Int64(keyCount) + Int64(valueCount) <= room else { throw self.damagedRecord }
        let count = EmbeddingFile.recordHeaderBytes + keyCount + valueCount
        try self.fill(count)
        let isSound = self.withUnused(count) { record in
            let content = UnsafeRawBufferPointer(rebasing: record[8...])
            guard XXHash64.hash(content) == record.integer(0, as: UInt64.self) else { return false }
            checksum.update(UnsafeRawBufferPointer(rebasing: record[..<8]))
            let body = UnsafeRawBufferPointer(rebasing: record[EmbeddingFile.recordHeaderBytes...])
            each(
                EmbeddingFile.Record(
                    kind: record[24], key: UnsafeRawBufferPointer(rebasing: body[..<keyCount]),
                    value: UnsafeRawBufferPointer(rebasing: body[keyCount...]),
                    storedAt: record.integer(8, as: Int64.self)))
            return true
        }
        guard isSound else { throw self.damagedRecord }
        self.use(count)
    }

    private mutating func readTrailer(_ records: Int, _ sum: XXHash64) throws(Fault) {
        try self.fill(EmbeddingFile.trailerBytes)
        let isSound = self.withUnused(EmbeddingFile.trailerBytes) { trailer in
            var checksum = sum
            checksum.update(UnsafeRawBufferPointer(rebasing: trailer[..<16]))
            return trailer.integer(0, as: UInt64.self) == UInt64(records)
                && trailer.integer(8, as: UInt64.self) == UInt64(self.length)
                && trailer.integer(16, as: UInt64.self) == checksum.value
        }
        guard isSound else {
            throw .damaged("its last \(EmbeddingFile.trailerBytes) bytes do not agree with it")
        }
    }

    private var damagedRecord: Fault { .damaged("the record at byte \(self.position) is damaged or cut off") }

    // MARK: Bytes

    /// Reads on until so many bytes are there in one piece.
    private mutating func fill(_ count: Int) throws(Fault) {
        let kept = self.unused.count
        guard kept < count else { return }
        self.moveToFront(capacity: count)
        let offset = self.position + Int64(kept)
        let wanted = min(self.buffer.count - kept, Int(self.length - offset))
        do throws(SystemError) {
            let room = UnsafeMutableRawBufferPointer(rebasing: self.buffer[kept..<(kept + wanted)])
            self.unused = 0..<(kept + (try self.file.read(into: room, at: offset)))
        } catch {
            throw .unreadable(error.description)
        }
        guard self.unused.count >= count else { throw .damaged("it was shortened while it was read") }
    }

    /// Moves what is unused to the front, of a larger buffer if need be.
    private mutating func moveToFront(capacity: Int) {
        let unused = UnsafeRawBufferPointer(rebasing: self.buffer[self.unused])
        if capacity <= self.buffer.count {
            self.buffer.copyMemory(from: unused)
        } else {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: capacity, alignment: 16)
            larger.copyMemory(from: unused)
            self.buffer.deallocate()
            self.buffer = larger
        }
    }

    private func withUnused<Result>(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        body(UnsafeRawBufferPointer(rebasing: self.buffer[self.unused].prefix(count)))
    }

    private mutating func use(_ count: Int) {
        self.unused = (self.unused.lowerBound + count)..<self.unused.upperBound
        self.position += Int64(count)
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func integer<Number: FixedWidthInteger & BitwiseCopyable>(
        _ offset: Int, as type: Number.Type
    ) -> Number {
        Number(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: type))
    }
}
