import Protocol

/// A condition on the fields of a document.
///
///     {"year": {"$gte": 1960, "$lt": 1970}, "$or": [{"kind": "report"}, {"tags": "nasa"}]}
///
/// All members of an object must hold. A bare value means `$eq`. A field that holds a list satisfies a
/// condition when one of its elements does; only `$ne` asks it of all of them. A field that is not there is equal to
/// null and to nothing else.
indirect enum MetadataFilter: Equatable {
    enum Comparison: String, CaseIterable {
        case equal = "$eq"
        case notEqual = "$ne"
        case oneOf = "$in"
        case greater = "$gt"
        case greaterOrEqual = "$gte"
        case less = "$lt"
        case lessOrEqual = "$lte"
    }

    case all([MetadataFilter])
    case any([MetadataFilter])
    case field(String, Comparison, JSONValue)

    /// - Parameter path: where the value stands, for the error.
    init(_ value: JSONValue, path: String = "options.filters") throws(RPCError) {
        guard let members = value.objectValue else {
            throw RPCError.parameter(path, expected: "an object of field names and conditions", found: value)
        }
        var conditions: [MetadataFilter] = []
        for member in members {
            conditions.append(try Self.condition(member, path: "\(path).\(Excerpt.escaped(member.name))"))
        }
        self = .all(conditions)
    }

    private static func condition(
        _ member: JSONValue.Member, path: String
    ) throws(RPCError) -> MetadataFilter {
        switch member.name {
        case "$and": return .all(try self.list(member.value, path: path))
        case "$or": return .any(try self.list(member.value, path: path))
        case let name where name.hasPrefix("$"):
            throw RPCError.unknownParameter(path, name: name, known: ["$and", "$or"])
        default: return try self.comparisons(of: member, path: path)
        }
    }

    private static func list(_ value: JSONValue, path: String) throws(RPCError) -> [MetadataFilter] {
        guard let elements = value.arrayValue, !elements.isEmpty else {
            throw RPCError.parameter(path, expected: "an array of filters, at least one", found: value)
        }
        var filters: [MetadataFilter] = []
        for (index, element) in elements.enumerated() {
            filters.append(try MetadataFilter(element, path: "\(path)[\(index)]"))
        }
        return filters
    }

    private static func comparisons(
        of member: JSONValue.Member, path: String
    ) throws(RPCError) -> MetadataFilter {
        guard let operators = member.value.objectValue else {
            try self.expectScalar(member.value, path: path)
            return .field(member.name, .equal, member.value)
        }
        guard !operators.isEmpty else {
            throw RPCError.parameter(
                path, expected: "a value or an object such as {\"$eq\": value}", found: member.value)
        }
        var conditions: [MetadataFilter] = []
        for entry in operators {
            let entryPath = "\(path).\(Excerpt.escaped(entry.name))"
            guard let comparison = Comparison(rawValue: entry.name) else {
                throw RPCError.unknownParameter(
                    entryPath, name: entry.name, known: Comparison.allCases.map(\.rawValue))
            }
            try self.check(entry.value, for: comparison, path: entryPath)
            conditions.append(.field(member.name, comparison, entry.value))
        }
        return conditions.count == 1 ? conditions[0] : .all(conditions)
    }

    private static func check(
        _ value: JSONValue, for comparison: Comparison, path: String
    ) throws(RPCError) {
        switch comparison {
        case .equal, .notEqual:
            try self.expectScalar(value, path: path)
        case .oneOf:
            guard let elements = value.arrayValue else {
                throw RPCError.parameter(path, expected: "an array of values", found: value)
            }
            for (index, element) in elements.enumerated() {
                try self.expectScalar(element, path: "\(path)[\(index)]")
            }
        case .greater, .greaterOrEqual, .less, .lessOrEqual:
            guard value.stringValue != nil || value.doubleValue != nil else {
                throw RPCError.parameter(path, expected: "a number or a string", found: value)
            }
        }
    }

    private static func expectScalar(_ value: JSONValue, path: String) throws(RPCError) {
        guard value.arrayValue == nil, value.objectValue == nil else {
            throw RPCError.parameter(path, expected: "a string, a number, a boolean or null", found: value)
        }
    }
}
