import Testing

@testable import Protocol

@Suite struct NearestNameTests {
    static let keys = ["min_workers", "max_workers", "methods", "name", "command", "interval", "rag.execute"]

    @Test(arguments: [
        ("min_worker", "min_workers"), ("mim_workers", "min_workers"), ("max_wrokers", "max_workers"),
        ("method", "methods"), ("nmae", "name"), ("comand", "command"), ("rag.exceute", "rag.execute"),
        ("inter", "interval"),
    ])
    func findsWhatWasMeant(name: String, meant: String) {
        #expect(NearestName.find(name, in: Self.keys) == meant)
    }

    @Test(arguments: ["x", "", "qqqq", "socket", "ab"])
    func staysSilentWhenNothingIsNear(name: String) {
        #expect(NearestName.find(name, in: Self.keys) == nil)
    }

    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("", "abc", 3), ("kitten", "sitting", 3), ("ab", "ba", 1),
        ("abcd", "acbd", 1),
    ])
    func countsEdits(left: String, right: String, distance: Int) {
        #expect(NearestName.distance(Array(left), Array(right)) == distance)
        #expect(NearestName.distance(Array(right), Array(left)) == distance)
    }
}
