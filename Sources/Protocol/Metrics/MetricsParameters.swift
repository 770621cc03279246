/// The params of `metrics.get` (protocol §3).
public struct MetricsParameters: Equatable, Sendable {
    public enum Scope: String, CaseIterable, Sendable { case worker, pool }

    public var timeRange: MetricsTimeRange?
    public var scope = Scope.worker
    public var reset = false

    /// - Parameter params: nil or an empty array when there are none.
    /// - Throws: −32602 with the path of what is wrong.
    public init(_ params: JSONValue?) throws(RPCError) {
        guard let params, params.arrayValue?.isEmpty != true else { return }
        guard let members = params.objectValue else {
            throw .invalidParams(nil, "expected an object, found \(params.kindDescription)")
        }
        var seen: Set<String> = []
        for member in members {
            try self.take(member)
            guard seen.insert(member.name).inserted else {
                throw .invalidParams(member.name, "expected it once, found it twice")
            }
        }
    }

    private mutating func take(_ member: JSONValue.Member) throws(RPCError) {
        switch member.name {
        case "time_range":
            self.timeRange = try Self.word(member, MetricsTimeRange.self)
        case "scope":
            self.scope = try Self.word(member, Scope.self)
        case "reset":
            guard let reset = member.value.boolValue else {
                throw .invalidParams("reset", "expected true or false, found \(member.value.kindDescription)")
            }
            self.reset = reset
        default:
            let nearest = NearestName.find(member.name, in: ["time_range", "scope", "reset"])
            throw .invalidParams(
                Excerpt.escaped(member.name),
                "unknown key\(nearest.map { "; did you mean `\($0)`?" } ?? "; expected time_range, scope or reset")"
            )
        }
    }

    private static func word<Word: RawRepresentable & CaseIterable>(
        _ member: JSONValue.Member, _ words: Word.Type
    ) throws(RPCError) -> Word where Word.RawValue == String {
        if let word = member.value.stringValue.flatMap(Word.init) { return word }
        let known = Word.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        throw .invalidParams(
            member.name, "expected one of \(known), found \(Excerpt.escaped(member.value.text))")
    }
}
