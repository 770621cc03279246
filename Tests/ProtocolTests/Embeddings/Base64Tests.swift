import Protocol
import Testing

@Suite struct Base64Tests {
    private static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        bytes.withUnsafeBytes { Base64.append($0, to: &output) }
        return String(decoding: output, as: UTF8.self)
    }

    private static func decode(_ text: String) -> [UInt8]? {
        var output: [UInt8] = [7]
        let isText = Array(text.utf8).withUnsafeBytes { Base64.decode($0, to: &output) }
        if !isText { #expect(output == [7], "nothing of what is wrong is left behind") }
        return isText ? Array(output[1...]) : nil
    }

    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ]) func agreesWithTheVectorsOfItsStandard(text: String, encoded: String) {
        #expect(Self.encode(Array(text.utf8)) == encoded)
        #expect(Self.decode(encoded) == Array(text.utf8))
    }

    @Test func givesBackWhatItWasGiven() {
        var random = SystemRandomNumberGenerator()
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(Self.decode(Self.encode(bytes)) == bytes)
        }
    }

    @Test(arguments: [
        "Zg", "Zg=", "Zg===", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm9-", "Zm9_", "Zm 9", "Zh==", "Zm9=",
        "é===",
    ]) func refusesEverythingElse(text: String) { #expect(Self.decode(text) == nil) }
}
