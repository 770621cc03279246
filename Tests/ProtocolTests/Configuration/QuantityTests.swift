import Protocol
import Testing

@Suite struct QuantityTests {
    @Test(arguments: [
        ("250ms", 250_000_000), ("5s", 5_000_000_000), ("10m", 600_000_000_000), ("24h", 86_400_000_000_000),
        ("0s", 0), ("0ms", 0), ("007s", 7_000_000_000), ("9223372036s", 9_223_372_036_000_000_000),
    ])
    func readsDurations(text: String, nanoseconds: Int64) {
        #expect(DurationText.nanoseconds(text) == nanoseconds)
    }

    @Test(arguments: [
        "", "5", "s", "5 s", " 5s", "5s ", "-5s", "+5s", "1.5s", "5d", "5S", "5sec", "5us", "9223372037s",
        "99999999999999999999h", "٥s", "5m5s", "0x5s",
    ])
    func refusesWhatIsNoDuration(text: String) {
        #expect(DurationText.nanoseconds(text) == nil)
    }

    @Test(arguments: [
        (0, "0s"), (1_000_000, "1ms"), (1_500_000_000, "1500ms"), (60_000_000_000, "1m"),
        (61_000_000_000, "61s"),
        (3_600_000_000_000, "1h"), (5_400_000_000_000, "90m"),
    ])
    func writesDurations(nanoseconds: Int64, text: String) {
        #expect(DurationText.text(nanoseconds) == text)
        #expect(DurationText.nanoseconds(text) == nanoseconds)
    }

    @Test(
        arguments: [
            ("64MiB", 64 << 20), ("1KiB", 1024), ("2GiB", 2 << 30), ("1TiB", 1 << 40), ("512B", 512),
            ("0B", 0),
        ] as [(String, Int64)])
    func readsSizes(text: String, bytes: Int64) {
        #expect(ByteCountText.bytes(text) == bytes)
    }

    @Test(arguments: ["", "64", "64MB", "64M", "64mib", "-1KiB", "1.5GiB", "64 MiB", "9999999999TiB", "KiB"])
    func refusesWhatIsNoSize(text: String) {
        #expect(ByteCountText.bytes(text) == nil)
    }

    @Test(
        arguments: [
            (0, "0"), (1000, "1000"), (1024, "1KiB"), (1536, "1536"), (3 << 20, "3MiB"), (1 << 40, "1TiB"),
        ] as [(Int64, String)])
    func writesSizes(bytes: Int64, text: String) {
        #expect(ByteCountText.text(bytes) == text)
    }
}
