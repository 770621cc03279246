/// Makes inputs out of a corpus that are nearly, but not quite, what they were.
struct Mutator {
    let corpus: [[UInt8]]
    private var random: SplitMix64

    init(corpus: [[UInt8]], seed: UInt64) {
        self.corpus = corpus
        self.random = SplitMix64(seed: seed)
    }

    /// Pieces that parsers stumble over.
    private static let tokens: [[UInt8]] =
        [
            "\n", "\r\n", "\r", "\"", "\\", "{", "}", "[", "]", ",", ":", "\0", "\u{FEFF}", "\\u0069",
            "\\ud800",
            "\\udc00", "\"id\":", "\"id\":1,", "\"method\":\"m\",", "\"jsonrpc\":\"2.0\",", "\"params\":{},",
            "\"metadata\":{\"timeout_ms\":1},", "\"result\":1,", "null", "NaN", "-", "1e999", "0x", "//",
            "/*", "*/",
            "'", "Content-Length: 5\r\n\r\n", "Content-Length: ", "99999999999999999999", "\u{2028}", "é",
            "😀",
            String(repeating: "[", count: 64), String(repeating: "{\"a\":", count: 33),
        ].map { Array($0.utf8) } + [[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE2, 0x82]]

    mutating func next() -> [UInt8] {
        var bytes = self.corpus.randomElement(using: &self.random) ?? []
        for _ in 0..<Int.random(in: 0...4, using: &self.random) { self.mutate(&bytes) }
        return bytes
    }

    mutating func seed() -> UInt64 { self.random.next() }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        let place = Int.random(in: 0...bytes.count, using: &self.random)
        let end = min(bytes.count, place + Int.random(in: 1...12, using: &self.random))
        switch Int.random(in: 0..<7, using: &self.random) {
        case 0 where place < bytes.count: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &self.random)
        case 1: bytes.removeSubrange(place..<end)
        case 2: bytes.insert(contentsOf: bytes[place..<end], at: place)
        case 3: bytes.removeLast(bytes.count - place)
        case 4:
            let other = self.corpus.randomElement(using: &self.random) ?? []
            bytes.insert(contentsOf: other, at: place)
        case 5 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &self.random)
        default:
            bytes.insert(contentsOf: Self.tokens.randomElement(using: &self.random) ?? [], at: place)
        }
    }
}
