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

        @inline(__always)
        init(_ member: Member) { self.init(rawValue: 1 << UInt8(member.rawValue)) }

        static let id = Members(.id)
        /// Those that mean something in a call or a notification.
        static let ofRequests: Members = [
            Members(.jsonrpc), .id, Members(.method), Members(.params), Members(.metadata),
        ]
    }

    /// By the number of the member; what is there, `present` tells. Found by its index, each stays in memory: fourteen
    /// numbers do not fit into registers.
    private var places = InlineArray<7, Range<Int>>(repeating: 0..<0)
    private var present: Members = []
    /// The members that stood more than once.
    private(set) var doubled: Members = []
    /// Whether the method's name has escapes in it.
    private(set) var methodIsEscaped = false

    /// Where a member's value lies; nil: it is not there.
    @inline(__always)
    subscript(member: Member) -> Range<Int>? {
        self.present.contains(Members(member)) ? self.places[member.rawValue] : nil
    }

    var jsonrpc: Range<Int>? { self[.jsonrpc] }
    var id: Range<Int>? { self[.id] }
    var method: Range<Int>? { self[.method] }
    var params: Range<Int>? { self[.params] }
    var metadata: Range<Int>? { self[.metadata] }
    var result: Range<Int>? { self[.result] }
    var error: Range<Int>? { self[.error] }

    /// Scans one object, the scanner at its opening brace.
    ///
    /// - Parameter open: 1 inside a batch, else 0.
    @inline(__always)
    init(scanning scanner: inout JSONScanner, insideContainers open: Int) throws(JSONError) {
        guard try scanner.enterObject(insideContainers: open) else { return }
        repeat {
            let member = try Self.nextName(&scanner)
            try scanner.expectColon()
            let start = scanner.position
            // Strings and numbers are passed on the spot.
            let first = scanner.current ?? 0
            if first == UInt8(ascii: "\"") {
                _ = try scanner.skipString()
            } else if first &- UInt8(ascii: "0") < 10 {
                try scanner.skipWordOrNumber(first)
            } else {
                try scanner.skipValue(insideContainers: open + 1)
            }
            guard let member else { continue }
            let value = Range(uncheckedBounds: (start, scanner.position))
            self.set(member, value, isEscaped: scanner.lastStringWasEscaped)
        } while try scanner.leaveMember()
    }

    @inline(__always)
    private mutating func set(_ member: Member, _ value: Range<Int>, isEscaped: Bool) {
        if member == .method { self.methodIsEscaped = isEscaped }
        let own = Members(member)
        if self.present.isDisjoint(with: own) {
            self.places[member.rawValue] = value
            self.present.formUnion(own)
        } else {
            self.doubled.formUnion(own)
        }
    }

    /// Steps over a member's name, the scanner at its opening quote, and tells which it is; nil for any that is not
    /// known.
    @inline(__always)
    private static func nextName(_ scanner: inout JSONScanner) throws(JSONError) -> Member? {
        // A known name without escapes is recognized together with both its quotes, and its end is known with it.
        if scanner.position + 10 <= scanner.end, scanner.current == UInt8(ascii: "\"") {
            let word = UInt64(
                littleEndian: scanner.bytes.loadUnaligned(
                    fromByteOffset: scanner.position + 1, as: UInt64.self))
            if let member = self.known(word), member != .metadata || self.endsMetadata(scanner) {
                scanner.position &+= member.name.utf8CodeUnitCount &+ 2
                return member
            }
        }
        let name = try scanner.skipString()
        return self.member(scanner.bytes, name, isEscaped: scanner.lastStringWasEscaped)
    }

    /// The member whose name and closing quote a word begins with, its first byte lowest; of `metadata` there is no room
    /// for the quote.
    @inline(__always)
    private static func known(_ word: UInt64) -> Member? {
        if word & 0xFF_FFFF == 0x22_6469 { return .id }
        if word == 0x2263_7072_6E6F_736A { return .jsonrpc }
        if word == 0x6174_6164_6174_656D { return .metadata }
        switch word & 0xFF_FFFF_FFFF_FFFF {
        case 0x22_646F_6874_656D: return .method
        case 0x22_736D_6172_6170: return .params
        case 0x22_746C_7573_6572: return .result
        default: return word & 0xFFFF_FFFF_FFFF == 0x2272_6F72_7265 ? .error : nil
        }
    }

    @inline(__always)
    private static func endsMetadata(_ scanner: JSONScanner) -> Bool {
        scanner.bytes[scanner.position + 9] == UInt8(ascii: "\"")
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
