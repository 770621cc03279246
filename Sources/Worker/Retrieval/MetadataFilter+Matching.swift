import Protocol

/// The fields of one document by name: its metadata, and `document_id`, `source`, `title` and `format`.
struct DocumentFields {
    private let members: [JSONValue.Member]

    init(_ members: [JSONValue.Member]) { self.members = members }

    /// - Parameter names: the fields that will be asked for; others are not read.
    init(
        _ names: Set<String>, of document: DocumentRecord, in index: SearchIndex
    ) throws(IndexError) {
        var members: [JSONValue.Member] = []
        if !names.isSubset(of: Self.ownNames) { members = try index.metadata(of: document) }
        if names.contains("document_id") {
            members.append(JSONValue.Member("document_id", .string(try index.string(document.id))))
        }
        if names.contains("source") {
            members.append(JSONValue.Member("source", .string(try index.string(document.source))))
        }
        if names.contains("title"), document.title.length > 0 {
            members.append(JSONValue.Member("title", .string(try index.string(document.title))))
        }
        members.append(JSONValue.Member("format", .string(index.format(of: document).rawValue)))
        self.members = members
    }

    /// Fields that every document has, whatever its metadata.
    private static let ownNames: Set<String> = ["document_id", "source", "title", "format"]

    /// null when there is no such field.
    subscript(_ name: String) -> JSONValue { self.members.first { $0.name == name }?.value ?? .null }
}

extension MetadataFilter {
    /// The fields that it asks for.
    var fieldNames: Set<String> {
        switch self {
        case .all(let filters), .any(let filters): filters.reduce(into: []) { $0.formUnion($1.fieldNames) }
        case .field(let name, _, _): [name]
        }
    }

    func matches(_ fields: DocumentFields) -> Bool {
        switch self {
        case .all(let filters): return filters.allSatisfy { $0.matches(fields) }
        case .any(let filters): return filters.contains { $0.matches(fields) }
        case .field(let name, let comparison, let wanted):
            let value = fields[name]
            let candidates = value.arrayValue ?? [value]
            if comparison == .notEqual {
                return candidates.allSatisfy { !Self.areEqual($0, wanted) }
            }
            return candidates.contains { Self.satisfies($0, comparison, wanted) }
        }
    }

    private static func satisfies(_ value: JSONValue, _ comparison: Comparison, _ wanted: JSONValue) -> Bool {
        switch comparison {
        case .equal: self.areEqual(value, wanted)
        case .notEqual: !self.areEqual(value, wanted)
        case .oneOf: (wanted.arrayValue ?? []).contains { self.areEqual(value, $0) }
        case .greater: self.isLess(wanted, value)
        case .greaterOrEqual: self.isLess(wanted, value) || self.areEqual(value, wanted)
        case .less: self.isLess(value, wanted)
        case .lessOrEqual: self.isLess(value, wanted) || self.areEqual(value, wanted)
        }
    }

    /// Numbers are equal when their values are, however they are written.
    private static func areEqual(_ left: JSONValue, _ right: JSONValue) -> Bool {
        if let left = left.doubleValue, let right = right.doubleValue { return left == right }
        return left == right
    }

    /// Numbers by value, strings by their bytes (which puts RFC 3339 times in order); others have no order.
    private static func isLess(_ left: JSONValue, _ right: JSONValue) -> Bool {
        if let left = left.doubleValue, let right = right.doubleValue { return left < right }
        if let left = left.stringValue, let right = right.stringValue {
            return left.utf8.lexicographicallyPrecedes(right.utf8)
        }
        return false
    }
}

extension SearchIndex {
    func metadata(of document: DocumentRecord) throws(IndexError) -> [JSONValue.Member] {
        (try? JSONValue(parsing: try self.bytes(of: document.metadata)))?.objectValue ?? []
    }

    func format(of document: DocumentRecord) -> TextFormat {
        let number = Int(document.format)
        return number < TextFormat.stored.count ? TextFormat.stored[number] : .plain
    }
}
