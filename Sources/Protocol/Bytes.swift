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
/// with a writer the array is asked once.
public struct ByteWriter {
    @usableFromInline var next: UnsafeMutableRawPointer
    @usableFromInline let end: UnsafeMutableRawPointer

    @inlinable init(_ memory: UnsafeMutableRawPointer, count: Int) {
        self.next = memory
        self.end = memory + count
    }

    @inlinable
    public mutating func append(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        self.append(base, count: bytes.count)
    }

    @inlinable
    public mutating func append(_ text: StaticString) {
        self.append(text.utf8Start, count: text.utf8CodeUnitCount)
    }

    @inlinable
    mutating func append(_ bytes: UnsafeRawPointer, count: Int) {
        precondition(self.end - self.next >= count, "more is written than was said")
        self.next.copyMemory(from: bytes, byteCount: count)
        self.next += count
    }

    /// Digits of the largest number, and a sign.
    public static let numberBytes = 20

    /// A whole number in decimal.
    public mutating func append(unsigned number: UInt64) {
        precondition(self.end - self.next >= Self.numberBytes, "more is written than was said")
        var digits = 1
        var power: UInt64 = 10
        while digits < 20, number >= power {
            digits += 1
            power = power &* 10
        }
        var rest = number
        for place in stride(from: digits - 1, through: 0, by: -1) {
            (self.next + place).storeBytes(of: UInt8(ascii: "0") + UInt8(rest % 10), as: UInt8.self)
            rest /= 10
        }
        self.next += digits
    }

    public mutating func append(integer number: Int64) {
        if number < 0 { self.append("-") }
        self.append(unsigned: number.magnitude)
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
                written = writer.next - UnsafeMutableRawPointer(base)
            }
        }
    }
}
