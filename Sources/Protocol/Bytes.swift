import Glibc

extension UnsafeRawBufferPointer {
    /// Whether these are the same bytes. `elementsEqual` looks at them one by one.
    public func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        guard self.count == other.count, let base = self.baseAddress, let otherBase = other.baseAddress
        else { return self.count == other.count }
        return memcmp(base, otherBase, self.count) == 0
    }
}

/// Writes into memory that was made for it, from front to back.
///
/// A message has a dozen parts. Appended to an array one by one, each asks whether the array is shared and has room;
/// with a writer that is asked once. All that is short is inlined: of a literal only the stores are left.
public struct ByteWriter {
    @usableFromInline var next: UnsafeMutableRawPointer
    @usableFromInline let end: UnsafeMutableRawPointer

    @inlinable public init(_ memory: UnsafeMutableRawPointer, count: Int) {
        self.next = memory
        self.end = memory + count
    }

    /// Behind what was written.
    @inlinable public var position: UnsafeMutableRawPointer { self.next }

    @inlinable @inline(__always)
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        self.append(base, count: bytes.count)
    }

    @inlinable @inline(__always)
    public mutating func append(_ text: StaticString) {
        self.append(text.utf8Start, count: text.utf8CodeUnitCount)
    }

    @inlinable @inline(__always)
    mutating func append(_ bytes: UnsafeRawPointer, count: Int) {
        self.demandRoom(for: count)
        self.next.copyMemory(from: bytes, byteCount: count)
        self.next += count
    }

    @inlinable @inline(__always)
    func demandRoom(for count: Int) {
        precondition(self.end - self.next >= count, "more is written than was said")
    }

    /// Digits of the largest number, and a sign.
    public static let numberBytes = 20

    /// A whole number in decimal.
    public mutating func append(unsigned number: UInt64) {
        self.demandRoom(for: Self.numberBytes)
        let digits = Self.digits(of: number)
        var place = self.next + digits
        self.next = place
        var rest = number
        while rest >= 10 {
            // Two at a time: it is the divisions that take the time. 103 / 1024 is a tenth, up to 178.
            let pair = UInt16(truncatingIfNeeded: rest % 100)
            rest /= 100
            let tens = (pair &* 103) >> 10
            let text = 0x3030 | tens | (pair &- tens &* 10) << 8
            place -= 2
            place.storeBytes(of: text.littleEndian, as: UInt16.self)
        }
        if digits & 1 == 1 {
            (place - 1).storeBytes(of: UInt8(ascii: "0") | UInt8(truncatingIfNeeded: rest), as: UInt8.self)
        }
    }

    private static func digits(of number: UInt64) -> Int {
        var digits = 1
        var rest = number
        while rest >= 10_000 {
            digits += 4
            rest /= 10_000
        }
        return digits + (rest >= 10 ? 1 : 0) + (rest >= 100 ? 1 : 0) + (rest >= 1000 ? 1 : 0)
    }

    public mutating func append(integer number: Int64) {
        if number < 0 { self.append("-") }
        self.append(unsigned: number.magnitude)
    }

    /// JSON with every line break replaced by a space. In accepted JSON a line break can only stand between tokens:
    /// strings hold none.
    ///
    /// - Complexity: O(bytes): one pass of eight at a time, and a second one where there is something to replace.
    public mutating func append(onOneLine json: UnsafeRawBufferPointer) {
        guard let from = json.baseAddress else { return }
        self.demandRoom(for: json.count)
        let target = self.next
        self.next += json.count
        var suspicion = false
        if json.count < 8 {
            for offset in 0..<json.count {
                let byte = from.load(fromByteOffset: offset, as: UInt8.self)
                target.storeBytes(of: byte, toByteOffset: offset, as: UInt8.self)
                suspicion = suspicion || byte < 0x10
            }
        } else {
            var found: UInt64 = 0
            let last = json.count - 8
            for offset in stride(from: 0, to: last, by: 8) {
                found |= Self.copy(from, to: target, at: offset)
            }
            // The last ones overlap those before them.
            found |= Self.copy(from, to: target, at: last)
            suspicion = found & 0x8080_8080_8080_8080 != 0
        }
        if suspicion {
            Self.replaceLineBreaks(UnsafeMutableRawBufferPointer(start: target, count: json.count))
        }
    }

    /// Copies eight bytes.
    ///
    /// - Returns: a word in which the high bit of a byte is set where there is a control character below 16.
    @inline(__always)
    private static func copy(
        _ from: UnsafeRawPointer, to target: UnsafeMutableRawPointer, at offset: Int
    ) -> UInt64 {
        let word = from.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        target.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
        return (word &- 0x1010_1010_1010_1010) & ~word
    }

    private static func replaceLineBreaks(_ bytes: UnsafeMutableRawBufferPointer) {
        for index in bytes.indices where bytes[index] == 0x0A || bytes[index] == 0x0D {
            bytes[index] = UInt8(ascii: " ")
        }
    }
}

extension [UInt8] {
    /// Appends what the closure writes: no more than so many bytes.
    @inlinable
    public mutating func append(atMost count: Int, _ write: (inout ByteWriter) -> Void) {
        self.append(addingCapacity: count) { (span: inout OutputSpan<UInt8>) in
            span.withUnsafeMutableBufferPointer { buffer, written in
                guard let base = buffer.baseAddress else { return }
                var writer = ByteWriter(base, count: count)
                write(&writer)
                written = writer.position - UnsafeMutableRawPointer(base)
            }
        }
    }
}
