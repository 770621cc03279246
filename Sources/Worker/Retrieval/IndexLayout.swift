import Protocol

/// The header and section table of an index file, checked.
struct IndexLayout {
    let generation: UInt64
    private let path: String
    private let ranges: [UInt32: Range<Int>]

    init(_ bytes: UnsafeRawBufferPointer, path: String, verifiedLength: Int) throws(IndexError) {
        func corrupt(_ what: String) -> IndexError { IndexError(reason: .corrupt(what), path: path) }
        func word(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        func half(_ offset: Int) -> UInt32 {
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
        }
        guard bytes.count >= IndexFormat.headerLength, bytes.prefix(8).elementsEqual(IndexFormat.magic) else {
            throw corrupt("it does not begin as an index does")
        }
        guard half(8) == IndexFormat.version || half(8) == IndexFormat.modelVersion else {
            throw corrupt(
                "it has version \(half(8)), expected \(IndexFormat.version) or \(IndexFormat.modelVersion)")
        }
        guard half(12) == IndexFormat.byteOrderMark else { throw corrupt("it has another byte order") }
        guard word(48) == XXHash64.hash(UnsafeRawBufferPointer(rebasing: bytes[..<48])) else {
            throw corrupt("the checksum of its header does not match")
        }
        guard word(16) == UInt64(bytes.count) else {
            throw corrupt("it has \(bytes.count) bytes, expected \(word(16))")
        }
        let tableEnd = IndexFormat.headerLength + Int(half(32)) * IndexFormat.entryLength
        guard half(32) <= 1_000, tableEnd <= bytes.count,
            word(40)
                == XXHash64.hash(UnsafeRawBufferPointer(rebasing: bytes[IndexFormat.headerLength..<tableEnd]))
        else { throw corrupt("the checksum of its section table does not match") }

        var ranges: [UInt32: Range<Int>] = [:]
        for entry in stride(from: IndexFormat.headerLength, to: tableEnd, by: IndexFormat.entryLength) {
            guard let section = IndexFormat.Section(rawValue: half(entry)) else { continue }
            let offset = word(entry + 8)
            let length = word(entry + 16)
            guard offset <= UInt64(bytes.count), length <= UInt64(bytes.count) - offset,
                offset % UInt64(IndexFormat.alignment) == 0, half(entry + 4) == UInt32(section.recordLength),
                length % UInt64(section.recordLength) == 0
            else { throw corrupt("the section \(section) lies outside of it") }
            let range = Int(offset)..<Int(offset + length)
            let isSmall = section == .settings || section == .documents || section == .chunks
            if isSmall || bytes.count <= verifiedLength {
                guard word(entry + 24) == XXHash64.hash(UnsafeRawBufferPointer(rebasing: bytes[range])) else {
                    throw corrupt("the checksum of the section \(section) does not match")
                }
            }
            ranges[section.rawValue] = range
        }
        self.generation = word(24)
        self.path = path
        self.ranges = ranges
    }

    func range(of section: IndexFormat.Section) throws(IndexError) -> Range<Int> {
        guard let range = self.ranges[section.rawValue] else {
            throw IndexError(reason: .corrupt("the section \(section) is missing"), path: self.path)
        }
        return range
    }

    /// The parts of a file, ready to be written in a row.
    static func assemble(
        version: UInt32, generation: UInt64, sections: [(section: IndexFormat.Section, bytes: [UInt8])]
    ) -> [[UInt8]] {
        var table: [UInt8] = []
        var parts: [[UInt8]] = []
        var position = IndexFormat.headerLength + sections.count * IndexFormat.entryLength
        for (section, bytes) in sections {
            let padding = (IndexFormat.alignment - position % IndexFormat.alignment) % IndexFormat.alignment
            parts.append([UInt8](repeating: 0, count: padding))
            position += padding
            table.append(integer: section.rawValue)
            table.append(integer: UInt32(section.recordLength))
            table.append(integer: UInt64(position))
            table.append(integer: UInt64(bytes.count))
            table.append(integer: XXHash64.hash(bytes))
            parts.append(bytes)
            position += bytes.count
        }
        var header = IndexFormat.magic
        header.append(integer: version)
        header.append(integer: IndexFormat.byteOrderMark)
        header.append(integer: UInt64(position))
        header.append(integer: generation)
        header.append(integer: UInt32(sections.count))
        header.append(integer: UInt32(0))
        header.append(integer: XXHash64.hash(table))
        header.append(integer: XXHash64.hash(header))
        header.append(integer: UInt64(0))
        return [header, table] + parts
    }
}

extension [UInt8] {
    /// Appends an integer, its lowest byte first.
    mutating func append(integer: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: integer.littleEndian) { self.append(contentsOf: $0) }
    }

    /// Appends records as they are in memory.
    mutating func append(records: [some BitwiseCopyable]) {
        records.withUnsafeBytes { self.append(contentsOf: $0) }
    }
}
