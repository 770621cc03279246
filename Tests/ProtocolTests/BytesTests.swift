import Protocol
import Testing

@Suite struct BytesTests {
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
