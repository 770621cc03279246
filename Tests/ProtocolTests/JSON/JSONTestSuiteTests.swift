import Testing

@testable import Protocol

/// Every file of the JSON test suite (github.com/nst/JSONTestSuite): what is not JSON never reaches a worker,
/// what is JSON is never refused as a parse error.
@Suite(
    .enabled(
        if: SharedData.jsonTestSuite != nil,
        "the JSON test suite is not there: expected ../shared/data/json-test-suite beside the package"))
struct JSONTestSuiteTests {
    struct File {
        var name: String
        var bytes: [UInt8]
    }

    static let files: [File] = {
        guard let directory = SharedData.jsonTestSuite else { return [] }
        return SharedData.names(in: directory).compactMap { name in
            SharedData.contents("\(directory)/\(name)").map { File(name: name, bytes: $0) }
        }
    }()

    static let tooDeep: Set = [
        "n_structure_100000_opening_arrays.json", "n_structure_open_array_object.json",
    ]

    @Test func isThere() {
        #expect(Self.files.count { $0.name.hasPrefix("y_") } == 95)
        #expect(Self.files.count { $0.name.hasPrefix("n_") } == 188)
        #expect(Self.files.count { $0.name.hasPrefix("i_") } == 35)
    }

    @Test func acceptsEveryDocument() throws {
        for file in Self.files where file.name.hasPrefix("y_") {
            for message in Self.messages(file.bytes) where Self.isMalformedOrTooDeep(scan(message)) {
                Issue.record("\(file.name): \(scan(message))")
            }
            _ = try JSONValue(parsing: file.bytes)
        }
    }

    @Test func refusesEveryBrokenDocument() {
        for file in Self.files where file.name.hasPrefix("n_") {
            for message in Self.messages(file.bytes) {
                switch scan(message) {
                case .invalid(.tooDeep, _) where Self.tooDeep.contains(file.name): break
                case .malformed where !Self.tooDeep.contains(file.name): break
                case let other: Issue.record("\(file.name): \(other)")
                }
            }
            #expect(throws: JSONError.self, "\(file.name)") { try JSONValue(parsing: file.bytes) }
        }
    }

    /// What the standard leaves open: whatever is accepted must be whole and give back a readable document.
    @Test func survivesWhatTheStandardLeavesOpen() throws {
        for file in Self.files where file.name.hasPrefix("i_") {
            for message in Self.messages(file.bytes) { _ = scan(message) }
            if let value = try? JSONValue(parsing: file.bytes) {
                #expect(try JSONValue(parsing: value.bytes) == value, "\(file.name)")
            }
        }
    }

    @Test func readsBackWhatItWrites() throws {
        for file in Self.files where file.name.hasPrefix("y_") {
            let value = try JSONValue(parsing: file.bytes)
            #expect(try JSONValue(parsing: value.bytes) == value, "\(file.name)")
            let indented = value.bytes.withUnsafeBytes { JSONIndentation.text($0) }
            #expect(try JSONValue(parsing: indented) == value, "\(file.name)")
        }
    }

    /// The file alone, and as the params, the id and an unknown member of a request.
    private static func messages(_ bytes: [UInt8]) -> [[UInt8]] {
        [bytes]
            + ["params", "id", "x"].map {
                Array("{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"\($0)\":".utf8) + bytes + Array("}".utf8)
            }
    }

    private static func isMalformedOrTooDeep(_ message: Scanned) -> Bool {
        switch message {
        case .malformed, .invalid(.tooDeep, _): true
        default: false
        }
    }
}
