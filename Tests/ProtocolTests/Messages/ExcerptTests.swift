import Protocol
import Testing

@Suite struct ExcerptTests {
    @Test(arguments: [
        ("plain é€😀", "plain é€😀"), ("\u{1B}[31m", #"\x1b[31m"#), ("a\nb\r\tc\0", #"a\x0ab\x0d\x09c\x00"#),
        ("\u{7F}", #"\x7f"#), ("\u{85}", #"\xc2\x85"#), ("\u{202E}x", #"\xe2\x80\xaex"#),
        ("\u{2028}", #"\xe2\x80\xa8"#), ("", ""),
    ])
    func escapesControlCharacters(text: String, escaped: String) {
        #expect(Excerpt.escaped(text) == escaped)
    }

    @Test func escapesInvalidUTF8ByteByByte() {
        let cases: [([UInt8], String)] = [
            ([0xFF, 0x41], #"\xffA"#), ([0xE2, 0x82, 0x41], #"\xe2\x82A"#), ([0xC0, 0x80], #"\xc0\x80"#),
            ([0xED, 0xA0, 0x80], #"\xed\xa0\x80"#), ([0x41, 0xF0, 0x9F, 0x98], #"A\xf0\x9f\x98"#),
        ]
        for (bytes, escaped) in cases {
            bytes.withUnsafeBytes { #expect(Excerpt.escaped($0) == escaped) }
        }
    }

    @Test func cutsBetweenCharacters() {
        #expect(Excerpt.escaped(String(repeating: "x", count: 40)) == String(repeating: "x", count: 40))
        #expect(Excerpt.escaped(String(repeating: "x", count: 41)) == String(repeating: "x", count: 40) + "…")
        #expect(Excerpt.escaped("éé", limit: 3) == "é…")
        #expect(Excerpt.escaped("😀", limit: 3) == "…")
    }
}
