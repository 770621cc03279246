import Testing

@testable import Protocol

@Suite struct BytesTests {
    @Test func appendsInOneGoBehindWhatIsThere() {
        var bytes = Array("a".utf8)
        bytes.append(atMost: 100) { writer in
            writer.append("bc")
            Array("de".utf8).withUnsafeBytes { writer.append($0) }
            writer.append(UnsafeRawBufferPointer(start: nil, count: 0))
        }
        #expect(String(decoding: bytes, as: UTF8.self) == "abcde")
        bytes.append(atMost: 0) { _ in }
        #expect(bytes.count == 5)
    }

    @Test(arguments: [0, 1, 9, 10, 99, 100, 12_345_678_901, .max - 1, .max] as [UInt64])
    func writesNumbersAsTextDoes(number: UInt64) {
        var bytes: [UInt8] = []
        bytes.append(atMost: ByteWriter.numberBytes) { $0.append(unsigned: number) }
        #expect(String(decoding: bytes, as: UTF8.self) == "\(number)")
    }

    @Test(arguments: [0, -1, 7, -10, .min, .max] as [Int64])
    func writesSignedNumbersAsTextDoes(number: Int64) {
        var bytes: [UInt8] = []
        bytes.append(atMost: 1 + ByteWriter.numberBytes) { $0.append(integer: number) }
        #expect(String(decoding: bytes, as: UTF8.self) == "\(number)")
    }

    /// Every power of ten, and its neighbours: where the number of digits changes.
    @Test func countsTheDigits() {
        var power: UInt64 = 1
        for _ in 0..<20 {
            for number in [power - 1, power, power + 1] {
                var bytes: [UInt8] = []
                bytes.append(atMost: ByteWriter.numberBytes) { $0.append(unsigned: number) }
                #expect(String(decoding: bytes, as: UTF8.self) == "\(number)")
            }
            power = power.multipliedReportingOverflow(by: 10).partialValue
        }
    }

    /// Of every length up to some words, with what is to be replaced at every place: no part of a word is overlooked.
    @Test func replacesLineBreaksWhereverTheyStand() {
        for count in 0..<40 {
            for place in 0..<max(count, 1) {
                for byte: UInt8 in [0x0A, 0x0D, 0x09, 0x0B, 0x20, 0x7F, 0x80, 0x8A, 0xFF] {
                    var bytes = (0..<count).map { UInt8($0) + 0x21 }
                    if count > 0 { bytes[place] = byte }
                    var output: [UInt8] = []
                    bytes.withUnsafeBytes { bytes in
                        output.append(atMost: count) { $0.append(onOneLine: bytes) }
                    }
                    #expect(output == bytes.map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 })
                }
            }
        }
    }

    @Test(arguments: [
        ("", "", true), ("a", "a", true), ("abc", "abd", false), ("abc", "ab", false), ("", "a", false),
        ("a\0b", "a\0c", false),
    ]) func areEqualWhenEachOfThemIs(one: String, other: String, isEqual: Bool) {
        Array(one.utf8).withUnsafeBytes { one in
            Array(other.utf8).withUnsafeBytes { other in
                #expect(one.isEqual(to: other) == isEqual)
                #expect(other.isEqual(to: one) == isEqual)
            }
        }
    }

    @Test func noneAreEqualToNone() {
        let nowhere = UnsafeRawBufferPointer(start: nil, count: 0)
        [UInt8](repeating: 1, count: 1).withUnsafeBytes { bytes in
            let none = UnsafeRawBufferPointer(rebasing: bytes[..<0])
            #expect(nowhere.isEqual(to: nowhere) && nowhere.isEqual(to: none) && none.isEqual(to: nowhere))
            #expect(!nowhere.isEqual(to: bytes) && !bytes.isEqual(to: nowhere))
        }
    }
}
