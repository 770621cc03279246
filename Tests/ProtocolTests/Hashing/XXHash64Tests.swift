import Protocol
import Testing

@Suite struct XXHash64Tests {
    @Test(
        arguments: [
            ("", 0xEF46_DB37_51D8_E999), ("a", 0xD24E_C4F1_A98C_6E5B), ("abc", 0x44BC_2CF5_AD77_0999),
            ("Nobody inspects the spammish repetition", 0xFBCE_A83C_8A37_8BF1),
        ] as [(String, UInt64)])
    func hashesAsTheReferenceDoes(text: String, hash: UInt64) {
        #expect(XXHash64.hash(Array(text.utf8)) == hash)
    }

    @Test func hashesPiecesAsItDoesTheWhole() {
        let bytes = (0..<200).map { UInt8(truncatingIfNeeded: $0 * 7) }
        for count in 0...bytes.count {
            for first in [0, 1, 7, 31, 32, 33, 63, 64, 100] where first <= count {
                for second in [0, 1, 31, 32, 33] where first + second <= count {
                    var hash = XXHash64()
                    bytes.withUnsafeBytes { all in
                        hash.update(UnsafeRawBufferPointer(rebasing: all[..<first]))
                        hash.update(UnsafeRawBufferPointer(rebasing: all[first..<(first + second)]))
                        hash.update(UnsafeRawBufferPointer(rebasing: all[(first + second)..<count]))
                    }
                    #expect(hash.value == XXHash64.hash(Array(bytes[..<count])))
                }
            }
        }
    }
}
