import Protocol

/// What is wrong with a parameter: always where it stands and what was expected.
extension RPCError {
    /// A value of the wrong kind or out of range.
    static func parameter(_ path: String, expected: String, found value: JSONValue) -> RPCError {
        .invalidParams(path, "expected \(expected), found \(self.describe(value))")
    }

    /// A name that means nothing there.
    ///
    /// - Parameters:
    ///   - path: where it stands; what of that others wrote is escaped.
    ///   - known: the names that do.
    static func unknownParameter(_ path: String, name: String, known: [String]) -> RPCError {
        let hint =
            NearestName.find(name, in: known).map { "; did you mean `\($0)`?" }
            ?? (known.isEmpty
                ? "; there are none here" : "; expected one of \(known.joined(separator: ", "))")
        return .invalidParams(path, "unknown key\(hint)")
    }

    /// Short values as they are, others by their kind.
    private static func describe(_ value: JSONValue) -> String {
        switch value {
        case .integer, .double, .bool, .null: value.text
        case .string(let text) where text.utf8.count <= 24: Excerpt.escaped(value.text)
        case .string, .array, .object: value.kindDescription
        }
    }
}

/// Reads the members of one object strictly: what nobody asked for is refused.
struct ParameterReader {
    private let members: [JSONValue.Member]
    /// Where the object stands: `options`; empty for the params themselves.
    private let path: String

    /// - Throws: when the value is no object, or holds an unknown or doubled name.
    init(_ value: JSONValue, path: String, known: [String]) throws(RPCError) {
        guard let members = value.objectValue else {
            throw .parameter(path, expected: "an object", found: value)
        }
        self.members = members
        self.path = path
        var seen: Set<String> = []
        for member in members {
            guard known.contains(member.name) else {
                throw .unknownParameter(
                    self.path(of: Excerpt.escaped(member.name)), name: member.name, known: known)
            }
            guard seen.insert(member.name).inserted else {
                throw .invalidParams(self.path(of: member.name), "expected it once, found it twice")
            }
        }
    }

    func path(of name: String) -> String { self.path.isEmpty ? name : "\(self.path).\(name)" }

    /// The value of a member; nil when it is not there.
    subscript(_ name: String) -> JSONValue? { self.members.first { $0.name == name }?.value }

    func string(_ name: String) throws(RPCError) -> String? {
        guard let value = self[name] else { return nil }
        guard let text = value.stringValue else {
            throw .parameter(self.path(of: name), expected: "a string", found: value)
        }
        return text
    }

    func bool(_ name: String) throws(RPCError) -> Bool? {
        guard let value = self[name] else { return nil }
        guard let bool = value.boolValue else {
            throw .parameter(self.path(of: name), expected: "true or false", found: value)
        }
        return bool
    }

    func integer(_ name: String, in range: ClosedRange<Int64>) throws(RPCError) -> Int? {
        guard let value = self[name] else { return nil }
        guard let integer = value.integerValue, range.contains(integer) else {
            throw .parameter(
                self.path(of: name),
                expected: "a whole number from \(range.lowerBound) to \(range.upperBound)", found: value)
        }
        return Int(integer)
    }

    func number(_ name: String, in range: ClosedRange<Double>) throws(RPCError) -> Double? {
        guard let value = self[name] else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            throw .parameter(self.path(of: name), expected: Self.description(of: range), found: value)
        }
        return number
    }

    private static func description(of range: ClosedRange<Double>) -> String {
        guard range.upperBound.isFinite, range.upperBound < 1e300 else {
            return range.lowerBound > -1e300
                ? "a number of at least \(Self.text(range.lowerBound))" : "a number"
        }
        return "a number from \(Self.text(range.lowerBound)) to \(Self.text(range.upperBound))"
    }

    private static func text(_ bound: Double) -> String {
        Int64(exactly: bound).map { "\($0)" } ?? "\(bound)"
    }
}
