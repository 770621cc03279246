import Protocol

/// Judges values by the part of JSON Schema that the catalogue uses.
struct SchemaCheck {
    /// `components.schemas` of the document.
    let components: JSONValue

    /// What is wrong with a value, each with its path.
    func faults(_ value: JSONValue, _ schema: JSONValue, at path: String = "$") -> [String] {
        if let reference = schema["$ref"]?.stringValue {
            guard let target = self.resolve(reference) else { return ["\(path): \(reference) leads nowhere"] }
            return self.faults(value, target, at: path)
        }
        if let choices = schema["anyOf"]?.arrayValue {
            let all = choices.map { self.faults(value, $0, at: path) }
            return all.contains { $0.isEmpty } ? [] : ["\(path): none of \(all)"]
        }
        if let words = schema["enum"]?.arrayValue, !words.contains(value) {
            return ["\(path): \(value.text) is not one of \(words.map(\.text))"]
        }
        guard let type = schema["type"]?.stringValue else { return [] }
        guard self.isOf(type, value) else { return ["\(path): \(value.text) is no \(type)"] }
        return self.memberFaults(value, schema, path) + self.elementFaults(value, schema, path)
            + self.boundFaults(value, schema, path)
    }

    func resolve(_ reference: String) -> JSONValue? {
        let prefix = "#/components/schemas/"
        guard reference.hasPrefix(prefix) else { return nil }
        return self.components[String(reference.dropFirst(prefix.count))]
    }

    private func isOf(_ type: String, _ value: JSONValue) -> Bool {
        switch (type, value) {
        case ("null", .null), ("string", .string), ("boolean", .bool), ("object", .object),
            ("array", .array), ("number", .integer), ("number", .double):
            true
        case ("integer", _): value.integerValue != nil
        default: false
        }
    }

    private func memberFaults(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        guard case .object(let members) = value else { return [] }
        let missing = (schema["required"]?.arrayValue ?? []).compactMap(\.stringValue).filter { name in
            !members.contains { $0.name == name }
        }
        let known = schema["properties"]?.objectValue ?? []
        let wrong = members.flatMap { member -> [String] in
            let own = known.first { $0.name == member.name }?.value ?? schema["additionalProperties"]
            // What is not described is not promised: a member too many shows that the description is old.
            guard let own else { return known.isEmpty ? [] : ["\(path).\(member.name) is not described"] }
            return self.faults(member.value, own, at: "\(path).\(member.name)")
        }
        return missing.map { "\(path): \($0) is missing" } + wrong
    }

    private func elementFaults(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        guard case .array(let elements) = value, let items = schema["items"] else { return [] }
        return elements.enumerated().flatMap { self.faults($1, items, at: "\(path)[\($0)]") }
    }

    private func boundFaults(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        guard let number = value.doubleValue else { return [] }
        if let least = schema["minimum"]?.doubleValue, number < least { return ["\(path): below \(least)"] }
        if let most = schema["maximum"]?.doubleValue, number > most { return ["\(path): above \(most)"] }
        return []
    }
}
