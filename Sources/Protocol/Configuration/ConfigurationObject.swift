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
///
/// The same code also writes a configuration: in `describe` nothing is read, and what the variables hold is noted
/// under their keys. So a key that can be read cannot be missing in what is shown.
public struct ConfigurationObject {
    /// Keys that are unknown, or stand twice, of which one object tells: enough to see what is wrong, and a
    /// message of nothing else does not take the supervisor's time.
    private static let faultsTold = 100

    /// Where this object stands, such as `pools[0]`; empty for the whole configuration.
    public let path: String
    public let location: SourceLocation?
    private let members: [JSON5Value.Member]
    /// Keys that were asked for, in that order.
    private var known: [String] = []
    public private(set) var errors: [ConfigurationError] = []
    /// What the variables hold; nil while a configuration is read.
    private var described: [JSONValue.Member]?

    private init(_ members: [JSON5Value.Member], path: String, location: SourceLocation?) {
        self.members = members
        self.path = path
        self.location = location
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
            let message = "expected an object, found \(value.kindDescription(at: path))"
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

    /// The path of a member of an object that stands at `parent`.
    public static func path(_ parent: String, _ key: String) -> String {
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
        self.note(key, type.encode(target))
        guard let decoded = self.decode(key, type) else { return false }
        target = decoded
        return true
    }

    /// The same for a variable whose nil means a default that is decided elsewhere.
    @discardableResult
    public mutating func read<Value>(
        _ key: String, into target: inout Value?, _ type: ConfigurationType<Value>
    ) -> Bool {
        self.note(key, target.map(type.encode) ?? .null)
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
        self.note(key, target.map(type.encode) ?? "off")
        guard let value = self.value(key) else { return }
        if case .string("off") = value.content {
            target = nil
        } else if let decoded = type.decode(value, self.path(of: key), &self.errors) {
            target = decoded
        }
    }

    /// Reads an object inside this one, when it is there.
    ///
    /// - Parameter isDescribed: false: the variables hold what it means when it is not there.
    public mutating func object(
        _ key: String, isDescribed: Bool = true, _ body: (inout ConfigurationObject) -> Void
    ) {
        if self.isDescribing { self.note(key, isDescribed ? Self.describe(body) : .null) }
        guard let value = self.value(key) else { return }
        self.errors += Self.read(value, path: self.path(of: key), body)
    }

    /// Reads an array of objects, when it is there; `body` is called for each of the first `limit`.
    ///
    /// - Returns: the number of elements; nil when the key is absent or wrong.
    @discardableResult
    public mutating func objects(
        _ key: String, limit: Int = .max, _ body: (inout ConfigurationObject) -> Void
    ) -> Int? {
        guard let value = self.value(key) else { return nil }
        guard case .array(let elements) = value.content else {
            self.report(key, "expected an array, found \(value.kindDescription(at: self.path(of: key)))")
            return nil
        }
        for (index, element) in elements.prefix(limit).enumerated() {
            self.errors += Self.read(element, path: "\(self.path(of: key))[\(index)]", body)
        }
        return elements.count
    }
}

// MARK: - Describing

extension ConfigurationObject {
    /// What the variables that `body` reads into hold, as a document that reads back as the same.
    public static func describe(_ body: (inout ConfigurationObject) -> Void) -> JSONValue {
        var object = ConfigurationObject([], path: "", location: nil)
        object.described = []
        body(&object)
        return .object(object.described ?? [])
    }

    /// Whether nothing is read, but written down.
    public var isDescribing: Bool { self.described != nil }

    /// Writes down an array of objects, where it is not read.
    public mutating func describe<Element>(
        _ key: String, _ elements: [Element],
        _ body: (inout ConfigurationObject, inout Element) -> Void
    ) {
        let objects = elements.map { element in
            var element = element
            return Self.describe { body(&$0, &element) }
        }
        self.note(key, .array(objects))
    }

    private mutating func note(_ key: String, _ value: @autoclosure () -> JSONValue) {
        guard self.isDescribing else { return }
        self.described?.append(JSONValue.Member(key, value()))
    }
}

// MARK: - Faults

extension ConfigurationObject {
    /// Records a fault of a key's value, or of this object where the key is absent.
    public mutating func report(_ key: String, _ message: String, suggestion: String? = nil) {
        let member = self.members.last { $0.name == key }
        let location = member == nil ? self.location : member?.value.location
        self.errors.append(
            ConfigurationError(path: self.path(of: key), message, suggestion: suggestion, at: location))
    }

    private mutating func reportDoubledKeys() {
        var first: [String: SourceLocation?] = [:]
        var doubled: [JSON5Value.Member] = []
        for member in self.members {
            if first[member.name] == nil {
                first[member.name] = .some(member.location)
            } else {
                doubled.append(member)
            }
        }
        for member in doubled.prefix(Self.faultsTold) {
            let place = (first[member.name] ?? nil).map { " (first in line \($0.line))" } ?? ""
            self.errors.append(
                ConfigurationError(
                    path: self.path(of: member.name), "the key stands twice\(place)", at: member.location))
        }
        self.reportRest(doubled.count - Self.faultsTold, "keys stand twice")
    }

    private mutating func reportUnknownKeys() {
        let unknown = self.members.filter { !self.known.contains($0.name) }
        for member in unknown.prefix(Self.faultsTold) {
            self.errors.append(
                ConfigurationError(
                    path: self.path(of: member.name), "unknown key",
                    suggestion: NearestName.find(member.name, in: self.known), at: member.location))
        }
        self.reportRest(unknown.count - Self.faultsTold, "keys are unknown")
    }

    private mutating func reportRest(_ count: Int, _ fault: String) {
        guard count > 0 else { return }
        self.errors.append(
            ConfigurationError(path: self.path, "\(count) more \(fault)", at: self.location))
    }
}
