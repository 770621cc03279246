import Protocol

@testable import Supervisor

/// A client of the virtual world: what it asked, and what it waits for.
struct VirtualClient {
    let token: ConnectionToken
    let isOperator: Bool
    /// Calls without an answer: id, nonce.
    var open: [String: Int64] = [:]
    /// Calls by the names of their chunks.
    var streams: [String: Int64] = [:]
    /// The code that the last garbage must be answered with, and its id.
    var awaitedRefusal: (code: Int64, id: String)?
    var isGone = false
    var hasHalfClosed = false
    private var nextID = 0

    init(_ token: ConnectionToken, isOperator: Bool) {
        self.token = token
        self.isOperator = isOperator
    }

    /// A new id as it is written: a number, or a string, perhaps with an escape.
    mutating func makeID(_ random: inout SeededGenerator) -> String {
        self.nextID += 1
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return "\"call \(self.nextID)\""
        case 1: return "\"\\u0063\(self.nextID)\""
        default: return "\(self.nextID)"
        }
    }

    /// The id without its escapes.
    static func key(_ id: String) -> String { id.replacing("\\u0063", with: "c") }

    /// What the chunks of a call without a `request_id` are named by.
    static func name(_ id: String) -> String { self.key(id).filter { $0 != "\"" } }
}

/// A call as a client writes it: in any order, with any space, with text that would like to be a message.
struct CallText {
    private static let texts = [
        "plain", "quote \" and \\ backslash", "line\nbreak\r\n", "\u{2028}\u{0}",
        "\"}}\n{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"job.run\"}",
    ]
    private static let separators = [",", ",", ",", ", ", " ,\r\n\t", ",\n"]

    static func params(_ nonce: Int64, _ technique: String?, _ random: inout SeededGenerator) -> JSONValue {
        var members: [JSONValue.Member] = [.init("nonce", .integer(nonce))]
        if let technique { members.append(.init("technique", .string(technique))) }
        if Int.random(in: 0..<4, using: &random) == 0 {
            members.append(.init("text", .string(Self.texts.randomElement(using: &random) ?? "")))
        }
        return .object(members)
    }

    /// - Parameter id: nil for a notification.
    static func write(
        id: String?, method: String, params: JSONValue, metadata: String?, _ random: inout SeededGenerator
    ) -> String {
        var members = ["\"jsonrpc\":\"2.0\"", "\"method\":\"\(method)\"", "\"params\":\(params.text)"]
        if let id { members.append("\"id\":\(id)") }
        if let metadata { members.append("\"metadata\":\(metadata)") }
        if Bool.random(using: &random) { members.shuffle(using: &random) }
        return "{\(members.joined(separator: Self.separators.randomElement(using: &random) ?? ","))}"
    }
}

/// What is no request, and what it must be answered with.
struct Garbage {
    /// With `ID` where its id is, if it can have one.
    var text: String
    var code: Int64
    var hasID = false
    var isOversize = false

    static let all: [Garbage] = [
        Garbage(text: "{\"half\": ", code: -32700),
        Garbage(text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"params\":{}", code: -32700),
        Garbage(text: "[NaN]", code: -32700),
        Garbage(text: "\u{FEFF}{}", code: -32700),
        Garbage(text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\"}}", code: -32700),
        Garbage(
            text:
                "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\"}\n{\"jsonrpc\":\"2.0\",\"method\":\"job.run\"}",
            code: -32700),
        Garbage(text: "17", code: -32600),
        Garbage(text: "[]", code: -32600),
        Garbage(text: "{}", code: -32600),
        Garbage(text: "{\"jsonrpc\":\"1.0\",\"id\":ID,\"method\":\"job.run\"}", code: -32600, hasID: true),
        Garbage(text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":7}", code: -32600, hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"params\":3}", code: -32600,
            hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"m\\u0065thod\":\"job.run\"}",
            code: -32600, hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"metadata\":{\"timeout_ms\":0}}",
            code: -32602, hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"metadata\":5}", code: -32602,
            hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"params\":" + String(repeating: "[", count: 1000),
            code: -32600, hasID: true),
        Garbage(
            text: "{\"jsonrpc\":\"2.0\",\"id\":ID,\"method\":\"job.run\",\"params\":[\"xxx", code: -32600,
            hasID: true, isOversize: true),
    ]
}
