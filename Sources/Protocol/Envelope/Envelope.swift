import Glibc

/// Where the members of one JSON-RPC message lie in its bytes.
///
/// Nothing is decoded: ids, params and results are byte ranges, passed on as they are.
///
///     {"jsonrpc":"2.0","id":7,"method":"ping","params":{"a":1}}
///      id 22..<23 · method 33..<37 (between the quotes) · params 48..<55
///
/// Members may stand in any order, with any white space, their names written with escapes; other members are
/// checked as JSON and otherwise ignored. Which of them must be there depends on who speaks:
/// `RequestEnvelope` for calls and notifications, `ReplyEnvelope` for what a worker answers.
struct Envelope {
    /// The members that JSON-RPC and the contract know.
    enum Member: Int, CaseIterable {
        case jsonrpc, id, method, params, metadata, result, error

        var name: StaticString {
            switch self {
            case .jsonrpc: "jsonrpc"
            case .id: "id"
            case .method: "method"
            case .params: "params"
            case .metadata: "metadata"
            case .result: "result"
            case .error: "error"
            }
        }
    }

    /// A set of members.
    struct Members: OptionSet {
        let rawValue: UInt8

        init(rawValue: UInt8) { self.rawValue = rawValue }

        init(_ member: Member) { self.init(rawValue: 1 << UInt8(member.rawValue)) }

        static let id = Members(.id)
        /// Those that mean something in a call or a notification.
        static let ofRequests: Members = [
            Members(.jsonrpc), .id, Members(.method), Members(.params), Members(.metadata),
        ]
    }

    private(set) var jsonrpc: Range<Int>?
    private(set) var id: Range<Int>?
    private(set) var method: Range<Int>?
    private(set) var params: Range<Int>?
    private(set) var metadata: Range<Int>?
    private(set) var result: Range<Int>?
    private(set) var error: Range<Int>?
    /// The members that stood more than once.
    private(set) var doubled: Members = []

    /// Scans one object, the scanner at its opening brace.
    ///
    /// - Parameter open: 1 inside a batch, else 0.
    init(scanning scanner: inout JSONScanner, insideContainers open: Int) throws(JSONError) {
        var envelope = Envelope()
        let bytes = scanner.bytes
        try scanner.forEachMember(insideContainers: open) { name, isEscaped, value in
            guard let member = Self.member(bytes, name, isEscaped: isEscaped) else { return }
            envelope.set(member, value)
        }
        self = envelope
    }

    private init() {}

    private mutating func set(_ member: Member, _ value: Range<Int>) {
        let isFirst =
            switch member {
            case .jsonrpc: Self.set(&self.jsonrpc, value)
            case .id: Self.set(&self.id, value)
            case .method: Self.set(&self.method, value)
            case .params: Self.set(&self.params, value)
            case .metadata: Self.set(&self.metadata, value)
            case .result: Self.set(&self.result, value)
            case .error: Self.set(&self.error, value)
            }
        if !isFirst { self.doubled.formUnion(Members(member)) }
    }

    private static func set(_ slot: inout Range<Int>?, _ value: Range<Int>) -> Bool {
        guard slot == nil else { return false }
        slot = value
        return true
    }

    /// Which member a name means, compared after unescaping; nil for any other name.
    private static func member(
        _ bytes: UnsafeRawBufferPointer, _ name: Range<Int>, isEscaped: Bool
    ) -> Member? {
        if isEscaped {
            let text = JSONScanner.unescapedUTF8(bytes, name)
            return text.withUnsafeBytes { self.member($0, 0..<text.count, isEscaped: false) }
        }
        let candidates: (Member, Member?)
        switch name.count {
        case 2: candidates = (.id, nil)
        case 5: candidates = (.error, nil)
        case 6: candidates = bytes[name.lowerBound] == UInt8(ascii: "m") ? (.method, nil) : (.params, .result)
        case 7: candidates = (.jsonrpc, nil)
        case 8: candidates = (.metadata, nil)
        default: return nil
        }
        if self.equal(bytes, name, candidates.0.name) { return candidates.0 }
        if let second = candidates.1, self.equal(bytes, name, second.name) { return second }
        return nil
    }

    /// Whether the bytes of the range are that text.
    static func equal(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ text: StaticString) -> Bool {
        let name = UnsafeRawBufferPointer(rebasing: bytes[range])
        return name.isEqual(to: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }
}

extension Envelope {
    /// Finds the id of a message that was refused before it was scanned whole (too large, too deep), in what
    /// is there of it.
    ///
    /// Lenient where the scan is strict: nesting is only counted and other values are not checked. The id
    /// itself is, since it is written into the answer byte for byte.
    ///
    /// - Returns: the id's range; nil when there is none in those bytes, when it stands twice, or when the
    ///   message is no object.
    static func recoverID(in bytes: UnsafeRawBufferPointer, idBytes: Int) -> Range<Int>? {
        var scanner = JSONScanner(
            UnsafeRawBufferPointer(rebasing: bytes.prefix(FrameDecoder.prefixBytes)), depthLimit: 64)
        scanner.skipSpace()
        guard scanner.current == UInt8(ascii: "{") else { return nil }
        scanner.position += 1
        var found: Range<Int>?
        while true {
            scanner.skipSpace()
            guard let name = try? scanner.skipString() else { return found }
            let isEscaped = scanner.lastStringWasEscaped
            guard (try? scanner.expectColon()) != nil else { return found }
            let isID = self.member(scanner.bytes, name, isEscaped: isEscaped) == .id
            let start = scanner.position
            guard scanner.skipValueLeniently() else { return found }
            if isID {
                guard found == nil else { return nil }
                found = start..<scanner.position
                guard self.isWholeID(scanner.bytes, start..<scanner.position, idBytes: idBytes)
                else { return nil }
            }
            scanner.skipSpace()
            guard scanner.current == UInt8(ascii: ",") else { return found }
            scanner.position += 1
        }
    }
}

extension Envelope {
    private static func isWholeID(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, idBytes: Int) -> Bool
    {
        guard RequestEnvelope.isID(bytes, range, idBytes: idBytes) else { return false }
        let id = UnsafeRawBufferPointer(rebasing: bytes[range])
        return (try? JSONScanner.validateDocument(id, depthLimit: 1)) != nil
    }
}

extension JSONScanner {
    /// Steps over a value by counting brackets; false when its end is not there.
    fileprivate mutating func skipValueLeniently() -> Bool {
        var depth = 0
        while let byte = self.current {
            switch byte {
            case UInt8(ascii: "\""):
                guard (try? self.skipString()) != nil else { return false }
                if depth == 0 { return true }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return true }  // the message's own bracket ends a number or a word
                depth -= 1
                if depth == 0 {
                    self.position += 1
                    return true
                }
            case _ where depth == 0 && (byte == UInt8(ascii: ",") || Self.isSpace(byte)):
                return true
            default:
                break
            }
            self.position += 1
        }
        return false
    }
}
