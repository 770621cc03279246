/// How one kind of value is written in a configuration, and which of them are allowed.
public struct ConfigurationType<Value> {
    /// Reads a value at a path; nil, and a fault recorded, when it is wrong.
    public let decode: (JSON5Value, _ path: String, _ errors: inout [ConfigurationError]) -> Value?
    /// Writes a value so that it reads back as the same.
    public let encode: (Value) -> JSONValue

    public init(
        encode: @escaping (Value) -> JSONValue,
        _ decode: @escaping (JSON5Value, _ path: String, _ errors: inout [ConfigurationError]) -> Value?
    ) {
        self.decode = decode
        self.encode = encode
    }

    /// A type whose values are wrong or right as a whole.
    ///
    /// - Parameters:
    ///   - expectation: what was expected, behind the word "expected".
    ///   - suggest: what was probably meant by a wrong value.
    public init(
        _ expectation: String, suggest: @escaping (JSON5Value) -> String? = { _ in nil },
        encode: @escaping (Value) -> JSONValue, _ decode: @escaping (JSON5Value) -> Value?
    ) {
        self.encode = encode
        self.decode = { value, path, errors in
            if let decoded = decode(value) { return decoded }
            errors.append(
                ConfigurationError(
                    path: path, "expected \(expectation), found \(value.kindDescription(at: path))",
                    suggestion: suggest(value), at: value.location))
            return nil
        }
    }
}

// MARK: - Scalars

extension ConfigurationType where Value == Bool {
    public static var bool: Self {
        Self("true or false", encode: { .bool($0) }) {
            guard case .bool(let value) = $0.content else { return nil }
            return value
        }
    }
}

extension ConfigurationType where Value: FixedWidthInteger {
    /// A whole number, however it is written (`5`, `0x5`, `5.0`).
    public static func integer(_ range: ClosedRange<Value>) -> Self {
        Self(
            "a whole number from \(range.lowerBound) to \(range.upperBound)", encode: { .integer($0) }
        ) {
            $0.integer.flatMap { Value(exactly: $0) }.flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension ConfigurationType where Value == Double {
    public static func number(_ range: ClosedRange<Double>) -> Self {
        Self(
            "a number from \(range.lowerBound.shortText) to \(range.upperBound.shortText)",
            encode: { .double($0) }
        ) {
            let number: Double? =
                switch $0.content {
                case .integer(let value): Double(value)
                case .double(let value): value
                default: nil
                }
            return number.flatMap { range.contains($0) ? $0 : nil }
        }
    }
}

extension ConfigurationType where Value == String {
    /// A string that is not empty and holds no NUL, which no path, argument or variable can.
    public static var text: Self {
        self.text(where: "a string that is not empty") { !$0.isEmpty }
    }

    public static var textOrEmpty: Self { self.text(where: "a string") { _ in true } }

    public static func text(
        where expectation: String, _ isAllowed: @escaping (String) -> Bool
    ) -> Self {
        Self(expectation, encode: { .string($0) }) {
            guard case .string(let value) = $0.content, !value.utf8.contains(0), isAllowed(value) else {
                return nil
            }
            return value
        }
    }
}

extension ConfigurationType where Value: RawRepresentable<String> & CaseIterable {
    /// One of the words of an enumeration, or another word for one of them.
    public static func word(synonyms: [String: Value] = [:]) -> Self {
        let words = Value.allCases.map(\.rawValue)
        let expectation = "one of \(words.joined(separator: ", "))"
        return Self(
            expectation,
            suggest: {
                guard case .string(let word) = $0.content else { return nil }
                return NearestName.find(word, in: words)
            },
            encode: { .string($0.rawValue) },
            {
                guard case .string(let word) = $0.content else { return nil }
                return Value(rawValue: word) ?? synonyms[word]
            })
    }
}

extension ConfigurationType where Value == Int64 {
    /// A duration in nanoseconds, such as `"250ms"`.
    public static func duration(_ range: ClosedRange<Int64> = DurationText.shortest...DurationText.longest)
        -> Self
    {
        let bounds = "\(DurationText.text(range.lowerBound)) to \(DurationText.text(range.upperBound))"
        return Self(
            "a duration such as \"250ms\", \"5s\", \"10m\" or \"24h\", from \(bounds)",
            encode: { .string(DurationText.text($0)) }
        ) {
            let duration: Int64?
            switch $0.content {
            case .string(let text): duration = DurationText.nanoseconds(text)
            case .integer(0): duration = 0
            default: return nil
            }
            return duration.flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// A number of bytes, such as `"64MiB"` or `1024`.
    public static func bytes(_ range: ClosedRange<Int64> = 0...ByteCountText.largest) -> Self {
        let bounds = "\(ByteCountText.text(range.lowerBound)) to \(ByteCountText.text(range.upperBound))"
        return Self(
            "a number of bytes such as \"64KiB\", \"64MiB\" or \"1GiB\", from \(bounds)",
            suggest: {
                guard case .string(let text) = $0.content else { return nil }
                return ByteCountText.nearest(text).map { "\"\($0)\"" }
            },
            // A text without a unit would not be read.
            encode: { $0 % 1024 == 0 && $0 != 0 ? .string(ByteCountText.text($0)) : .integer($0) },
            {
                let count: Int64?
                switch $0.content {
                case .string(let text): count = ByteCountText.bytes(text)
                default: count = $0.integer
                }
                return count.flatMap { range.contains($0) ? $0 : nil }
            })
    }
}

// MARK: - Collections

extension ConfigurationType {
    public static func list<Element>(
        of element: ConfigurationType<Element>, atLeast minimum: Int = 0
    ) -> Self where Value == [Element] {
        Self(encode: { .array($0.map(element.encode)) }) { value, path, errors in
            guard case .array(let elements) = value.content, elements.count >= minimum else {
                let expectation = minimum == 0 ? "an array" : "an array that is not empty"
                let found = value.content == .array([]) ? "an empty one" : value.kindDescription(at: path)
                errors.append(
                    ConfigurationError(
                        path: path, "expected \(expectation), found \(found)", at: value.location))
                return nil
            }
            let decoded = elements.enumerated().map { element.decode($1, "\(path)[\($0)]", &errors) }
            return decoded.contains { $0 == nil } ? nil : decoded.compactMap { $0 }
        }
    }

    /// An object whose keys are names of the operator's choice; one that is null is not there.
    public static func dictionary<Element>(
        of element: ConfigurationType<Element>, keys: ConfigurationType<String> = .text
    ) -> Self where Value == [String: Element] {
        let encode = { (values: [String: Element]) -> JSONValue in
            .object(
                values.sorted { $0.key < $1.key }.map { JSONValue.Member($0.key, element.encode($0.value)) })
        }
        return Self(encode: encode) { value, path, errors in
            guard case .object(let members) = value.content else {
                errors.append(
                    ConfigurationError(
                        path: path, "expected an object, found \(value.kindDescription(at: path))",
                        at: value.location))
                return nil
            }
            let known = errors.count
            var decoded: [String: Element] = [:]
            for member in members where member.value.content != .null {
                let memberPath = ConfigurationObject.path(path, member.name)
                let name = JSON5Value(.string(member.name), at: member.location)
                guard keys.decode(name, memberPath, &errors) != nil,
                    let value = element.decode(member.value, memberPath, &errors)
                else { continue }
                if decoded.updateValue(value, forKey: member.name) != nil {
                    errors.append(
                        ConfigurationError(path: memberPath, "the key stands twice", at: member.location))
                }
            }
            return errors.count == known ? decoded : nil
        }
    }
}

extension JSON5Value {
    /// The number when it is whole and fits into 64 bits.
    fileprivate var integer: Int64? {
        switch self.content {
        case .integer(let value): value
        case .double(let value): Int64(exactly: value)
        default: nil
        }
    }
}

extension Double {
    /// `1` for 1.0, `0.5` for 0.5.
    fileprivate var shortText: String { Int64(exactly: self).map(String.init) ?? self.description }
}
