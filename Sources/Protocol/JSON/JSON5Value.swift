/// A place in a text, for people: lines and columns count from 1, columns in characters (Unicode scalars).
public struct SourceLocation: Equatable, Sendable {
    public var line: Int
    public var column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// A JSON5 document as a tree that remembers where everything stood, so that a wrong value can be named by
/// line and column.
public struct JSON5Value: Equatable, Sendable {
    public indirect enum Content: Equatable, Sendable {
        case null
        case bool(Bool)
        /// A number without fraction and exponent that fits into 64 bits.
        case integer(Int64)
        /// Every other number; JSON5 knows the infinities and NaN.
        case double(Double)
        case string(String)
        case array([JSON5Value])
        /// In the order of the document; a doubled name keeps both.
        case object([Member])
    }

    public struct Member: Equatable, Sendable {
        public var name: String
        /// Where the name begins.
        public var location: SourceLocation?
        public var value: JSON5Value

        public init(name: String, location: SourceLocation? = nil, value: JSON5Value) {
            self.name = name
            self.location = location
            self.value = value
        }
    }

    public var content: Content
    /// Where the value begins; nil when it came from no text.
    public var location: SourceLocation?

    public init(_ content: Content, at location: SourceLocation? = nil) {
        self.content = content
        self.location = location
    }

    /// A tree without places, of a configuration that came in a message.
    public init(_ value: JSONValue) {
        let content: Content =
            switch value {
            case .null: .null
            case .bool(let value): .bool(value)
            case .integer(let value): .integer(value)
            case .double(let value): .double(value)
            case .string(let value): .string(value)
            case .array(let elements): .array(elements.map { JSON5Value($0) })
            case .object(let members):
                .object(
                    members.map { Member(name: $0.name, location: nil, value: JSON5Value($0.value)) })
            }
        self.init(content)
    }

    fileprivate var plain: JSONValue {
        switch self.content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .double(let value): .double(value)
        case .string(let value): .string(value)
        case .array(let elements): .array(elements.map(\.plain))
        case .object(let members): .object(members.map { JSONValue.Member($0.name, $0.value.plain) })
        }
    }

    /// What kind of value it is, in words for an error message; a secret is not quoted.
    ///
    /// - Parameter path: where in a configuration it stands.
    public func kindDescription(at path: String) -> String {
        guard ConfigurationSecrets.hides(path: path) else { return self.kindDescription }
        return switch self.content {
        case .integer, .double: "a number"
        case .string: "a string"
        case .null, .bool, .array, .object: self.kindDescription
        }
    }

    /// What kind of value it is, in words for an error message.
    public var kindDescription: String {
        switch self.content {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .integer(let value): "the number \(value)"
        case .double(let value): "the number \(value)"
        case .string(let value): "the string \"\(Excerpt.escaped(value))\""
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// A fault in a JSON5 text: what was expected, and where.
public struct JSON5Error: Error, Equatable, Sendable, CustomStringConvertible {
    public var location: SourceLocation
    public var message: String

    public var description: String { "\(self.location.line):\(self.location.column): \(self.message)" }
}

extension JSONValue {
    /// The document without its places; infinities and NaN, which JSON does not know, are written as null.
    public init(_ value: JSON5Value) { self = value.plain }
}
