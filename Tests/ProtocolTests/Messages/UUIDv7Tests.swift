import Protocol
import Testing

@Suite struct UUIDv7Tests {
    /// The example of RFC 9562, appendix A.6.
    @Test func writesTheExampleOfTheStandard() {
        let uuid = UUIDv7(millisecondsSince1970: 0x017F_22E2_79B0, random: (0xCC3, 0x18C4_DC0C_0C07_398F))
        #expect(uuid.text == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    }

    @Test func keepsVersionAndVariantWhateverTheRandomBits() {
        for random: UInt64 in [0, .max] {
            let text = Array(UUIDv7(millisecondsSince1970: 1, random: (random, random)).text)
            #expect(text.count == UUIDv7.textCount)
            #expect(text[14] == "7")
            #expect("89ab".contains(text[19]))
            #expect(String(text[0..<13]) == "00000000-0001")
        }
    }

    @Test func sortsByTime() {
        let times: [Int64] = [0, 1, 999, 1_000, 1_769_860_800_123, 0xFFFF_FFFF_FFFF]
        let texts = times.map { UUIDv7(millisecondsSince1970: $0, random: (.max, 5)).text }
        #expect(texts == texts.sorted())
    }
}
