import Protocol

/// A JSON Schema (draft 7, as OpenRPC has it), built out of the few words that the catalogue needs.
struct JSONSchema: Equatable, Sendable {
    /// The schema as it is written.
    let value: JSONValue

    private init(_ value: JSONValue) { self.value = value }

    /// A member of an object.
    struct Member: Sendable {
        var name: String
        var schema: JSONSchema
        var isRequired: Bool

        static func must(_ name: String, _ schema: JSONSchema) -> Member {
            Member(name: name, schema: schema, isRequired: true)
        }

        static func may(_ name: String, _ schema: JSONSchema) -> Member {
            Member(name: name, schema: schema, isRequired: false)
        }
    }

    static let any = JSONSchema([:])
    static let null = JSONSchema(["type": "null"])
    static let string = JSONSchema(["type": "string"])
    static let boolean = JSONSchema(["type": "boolean"])
    static let number = JSONSchema(["type": "number"])
    static let integer = JSONSchema(["type": "integer"])
    /// With members that the contract leaves to others.
    static let object = JSONSchema(["type": "object"])
    /// RFC 3339, UTC.
    static let time = JSONSchema(["type": "string", "format": "date-time"])
    /// From 0.
    static let count = JSONSchema(["type": "integer", "minimum": 0])

    static func integer(_ range: ClosedRange<Int>) -> JSONSchema {
        JSONSchema([
            "type": "integer", "minimum": .integer(range.lowerBound), "maximum": .integer(range.upperBound),
        ])
    }

    /// So many characters.
    static func string(_ length: ClosedRange<Int>) -> JSONSchema {
        JSONSchema([
            "type": "string", "minLength": .integer(length.lowerBound),
            "maxLength": .integer(length.upperBound),
        ])
    }

    /// One of these strings.
    static func word(_ words: String...) -> JSONSchema { self.word(of: words) }

    static func word(of words: [String]) -> JSONSchema {
        JSONSchema(["type": "string", "enum": .array(words.map { .string($0) })])
    }

    static func array(_ element: JSONSchema, atLeast minimum: Int = 0) -> JSONSchema {
        var members: [JSONValue.Member] = [.init("type", "array"), .init("items", element.value)]
        if minimum > 0 { members.append(.init("minItems", .integer(minimum))) }
        return JSONSchema(.object(members))
    }

    /// An object of which other members may come to exist.
    static func object(_ members: [Member]) -> JSONSchema {
        let required = members.filter(\.isRequired).map { JSONValue.string($0.name) }
        var schema: [JSONValue.Member] = [
            .init("type", "object"),
            .init("properties", .object(members.map { .init($0.name, $0.schema.value) })),
        ]
        if !required.isEmpty { schema.append(.init("required", .array(required))) }
        return JSONSchema(.object(schema))
    }

    /// An object whose members have names of others' choice, and this value each.
    static func map(_ value: JSONSchema) -> JSONSchema {
        JSONSchema(["type": "object", "additionalProperties": value.value])
    }

    static func either(_ schemas: JSONSchema...) -> JSONSchema {
        JSONSchema(["anyOf": .array(schemas.map(\.value))])
    }

    /// The value, or null.
    static func orNull(_ schema: JSONSchema) -> JSONSchema { self.either(schema, .null) }

    /// One that `components.schemas` holds.
    static func reference(_ component: MethodCatalogue.Component) -> JSONSchema {
        JSONSchema(["$ref": .string("#/components/schemas/\(component.rawValue)")])
    }

    /// In a few words for a table: `string`, `integer 1–100`, `"a" or "b"`.
    var words: String {
        if let reference = self.value["$ref"]?.stringValue {
            return reference.split(separator: "/").last.map(String.init) ?? reference
        }
        if let words = self.value["enum"]?.arrayValue {
            return words.compactMap(\.stringValue).map { "\"\($0)\"" }.joined(separator: " or ")
        }
        if let schemas = self.value["anyOf"]?.arrayValue {
            return schemas.map { JSONSchema($0).words }.joined(separator: " or ")
        }
        switch self.value["type"]?.stringValue {
        case "array":
            return "[\(self.value["items"].map { JSONSchema($0).words } ?? "")]"
        case "object":
            if self.value["properties"] != nil { return self.memberWords }
            return self.value["additionalProperties"].map { "{…: \(JSONSchema($0).words)}" } ?? "object"
        case let type?: return type + self.bounds
        case nil: return "any"
        }
    }

    private var memberWords: String {
        let required = self.value["required"]?.arrayValue ?? []
        let members = (self.value["properties"]?.objectValue ?? []).map { member in
            let schema = JSONSchema(member.value)
            let type = schema.value["type"]?.stringValue
            let isPlain = type != nil && type != "object" && type != "array" && schema.value["enum"] == nil
            let name = member.name + (required.contains(.string(member.name)) ? "" : "?")
            return isPlain ? name : "\(name): \(schema.words)"
        }
        return "{\(members.joined(separator: ", "))}"
    }

    private var bounds: String {
        let unit = self.value["minLength"] == nil ? "" : " characters"
        let least = self.value["minimum"] ?? self.value["minLength"]
        let most = self.value["maximum"] ?? self.value["maxLength"]
        switch (least?.integerValue, most?.integerValue) {
        case (let least?, let most?): return " \(least)–\(most)\(unit)"
        case (let least?, nil): return " ≥ \(least)"
        default: return ""
        }
    }
}
