/// One object of a configuration while it is read: keys are taken out of it by name and type, and what was
/// never asked for is an unknown key.
///
///     var timeout = Int64(5_000_000_000)
///     let errors = ConfigurationObject.read(tree) { root in
///         root.object("health") { health in
///             health.read("timeout", into: &timeout, .duration())
///         }
///     }
///
/// All faults are collected, each with its path and its place in the file. A key that is absent or null
/// leaves the variable as it is, which is how defaults are kept in one place: the variable's.
public struct ConfigurationObject {
    /// Where this object stands, such as `pools[0]`; empty for the whole configuration.
    public let path: String
    public let location: SourceLocation?
    private let members: [JSON5Value.Member]
    /// Keys that were asked for, in that order.
    private var known: [String] = []
    public private(set) var errors: [ConfigurationError] = []

    private init(_ members: [JSON5Value.Member], path: String, location: SourceLocation?) {
        self.members = members
        self.path = path
        self.location = location
    }

    /// Reads a JSON5 text whose top is an object, and returns all that is wrong with it, in its order.
    ///
    /// - Parameter file: the text's name in the errors.
    public static func read(
        _ text: [UInt8], file: String, _ body: (inout ConfigurationObject) -> Void
    ) -> [ConfigurationError] {
        let document = JSON5Reader.read(text)
        var errors = document.errors.map { ConfigurationError(path: "", $0.message, at: $0.location) }
        // The keys of a broken text are not judged: some of them may be missing.
        if errors.isEmpty, let tree = document.value { errors = self.read(tree, body) }
        for index in errors.indices { errors[index].file = file }
        return errors
    }

    /// Reads a tree whose top is an object, and returns all that is wrong with it, in the order of its text.
    public static func read(
        _ tree: JSON5Value, _ body: (inout ConfigurationObject) -> Void
    ) -> [ConfigurationError] {
        self.read(tree, path: "", body).sorted {
            ($0.line ?? 0, $0.column ?? 0) < ($1.line ?? 0, $1.column ?? 0)
        }
    }

    private static func read(
        _ value: JSON5Value, path: String, _ body: (inout ConfigurationObject) -> Void
    ) -> [ConfigurationError] {
        guard case .object(let members) = value.content else {
            let message = "expected an object, found \(value.kindDescription)"
            return [ConfigurationError(path: path, message, at: value.location)]
        }
        var object = ConfigurationObject(members, path: path, location: value.location)
        object.reportDoubledKeys()
        body(&object)
        object.reportUnknownKeys()
        return object.errors
    }

    /// The path of a member of this object.
    public func path(of key: String) -> String { Self.path(self.path, key) }

    static func path(_ parent: String, _ key: String) -> String {
        guard Self.isPlain(key) else { return "\(parent)[\"\(Excerpt.escaped(key))\"]" }
        return parent.isEmpty ? key : "\(parent).\(key)"
    }

    private static func isPlain(_ key: String) -> Bool {
        !key.isEmpty
            && key.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) || $0 == 0x5F
            }
    }
}

// MARK: - Reading

extension ConfigurationObject {
    /// The value of a key; nil when it is absent or null.
    public mutating func value(_ key: String) -> JSON5Value? {
        if !self.known.contains(key) { self.known.append(key) }
        guard let value = self.members.last(where: { $0.name == key })?.value else { return nil }
        if case .null = value.content { return nil }
        return value
    }

    /// Reads a key into a variable, which keeps its value when the key is absent or wrong.
    ///
    /// - Returns: whether the variable was set.
    @discardableResult
    public mutating func read<Value>(
        _ key: String, into target: inout Value, _ type: ConfigurationType<Value>
    ) -> Bool {
        guard let decoded = self.decode(key, type) else { return false }
        target = decoded
        return true
    }

    /// The same for a variable whose nil means a default that is decided elsewhere.
    @discardableResult
    public mutating func read<Value>(
        _ key: String, into target: inout Value?, _ type: ConfigurationType<Value>
    ) -> Bool {
        guard let decoded = self.decode(key, type) else { return false }
        target = decoded
        return true
    }

    /// The value of a key; nil when it is absent, or wrong and so noted.
    private mutating func decode<Value>(_ key: String, _ type: ConfigurationType<Value>) -> Value? {
        guard let value = self.value(key) else { return nil }
        return type.decode(value, self.path(of: key), &self.errors)
    }

    /// Reads a key that may also be `"off"`, which is nil.
    public mutating func readOrOff<Value>(
        _ key: String, into target: inout Value?, _ type: ConfigurationType<Value>
    ) {
        guard let value = self.value(key) else { return }
        if case .string("off") = value.content {
            target = nil
        } else if let decoded = type.decode(value, self.path(of: key), &self.errors) {
            target = decoded
        }
    }

    /// Reads an object inside this one, when it is there.
    public mutating func object(_ key: String, _ body: (inout ConfigurationObject) -> Void) {
        guard let value = self.value(key) else { return }
        self.errors += Self.read(value, path: self.path(of: key), body)
    }

    /// Reads an array of objects, when it is there; `body` is called for each.
    ///
    /// - Returns: the number of elements; nil when the key is absent or wrong.
    @discardableResult
    public mutating func objects(_ key: String, _ body: (inout ConfigurationObject) -> Void) -> Int? {
        guard let value = self.value(key) else { return nil }
        guard case .array(let elements) = value.content else {
            self.report(key, "expected an array, found \(value.kindDescription)")
            return nil
        }
        for (index, element) in elements.enumerated() {
            self.errors += Self.read(element, path: "\(self.path(of: key))[\(index)]", body)
        }
        return elements.count
    }
}

// MARK: - Faults

extension ConfigurationObject {
    /// Records a fault of a key's value, or of this object where the key is absent.
    public mutating func report(_ key: String, _ message: String, suggestion: String? = nil) {
        let location = self.members.last { $0.name == key }?.value.location ?? self.location
        self.errors.append(
            ConfigurationError(path: self.path(of: key), message, suggestion: suggestion, at: location))
    }

    private mutating func reportDoubledKeys() {
        var seen: Set<String> = []
        for member in self.members where !seen.insert(member.name).inserted {
            let first = self.members.first { $0.name == member.name }?.location
            let place = first.map { " (first in line \($0.line))" } ?? ""
            self.errors.append(
                ConfigurationError(
                    path: self.path(of: member.name), "the key stands twice\(place)", at: member.location))
        }
    }

    private mutating func reportUnknownKeys() {
        for member in self.members where !self.known.contains(member.name) {
            self.errors.append(
                ConfigurationError(
                    path: self.path(of: member.name), "unknown key",
                    suggestion: NearestName.find(member.name, in: self.known), at: member.location))
        }
    }
}
