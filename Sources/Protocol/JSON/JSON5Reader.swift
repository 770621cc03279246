/// Reads JSON5 (spec.json5.org): JSON with comments, trailing commas, single quotes, unquoted keys,
/// hexadecimal numbers, and more ways to write strings and numbers.
///
///     // two pools               line 1
///     { pools: [                 a member at 2:3, an array at 2:10
///         {name: 'a', },
///     ] }
///
/// Written for configuration files: every fault says what was expected and where, and reading goes on behind
/// it, so that several faults can be shown at once. The first is always a real one; those behind it are as
/// good as the guess where the next member begins.
public struct JSON5Reader {
    /// Arrays and objects that may be open at once.
    public static let depthLimit = 64
    /// Faults behind this number are left out.
    public static let errorLimit = 20

    let text: [Unicode.Scalar]
    var position = 0
    var errors: [JSON5Error] = []
    /// Whether the last fault was a string without end on its line; the position is at the end of that line.
    var stringIsCut = false
    private var depth = 0
    /// Where each line begins.
    private let lineStarts: [Int]

    /// Thrown behind a fault that was recorded, up to where reading can go on.
    struct Fault: Error {}

    private init(_ text: [Unicode.Scalar]) {
        self.text = text
        self.lineStarts =
            [0]
            + text.indices.filter { index in
                // A carriage return and its line feed end one line.
                Self.isLineEnd(text[index])
                    && !(text[index] == "\r" && index + 1 < text.count && text[index + 1] == "\n")
            }.map { $0 + 1 }
    }

    /// Reads one document.
    ///
    /// - Returns: the tree, nil when none could be made; the faults in the order of the text. With faults the
    ///   tree lacks what could not be read.
    /// - Complexity: O(bytes × log lines).
    public static func read(_ bytes: [UInt8]) -> (value: JSON5Value?, errors: [JSON5Error]) {
        var reader = JSON5Reader(Array(String(decoding: bytes, as: UTF8.self).unicodeScalars))
        if let offset = self.invalidUTF8(in: bytes) {
            // Up to there the text is what the bytes say.
            let valid = String(decoding: bytes[..<offset], as: UTF8.self).unicodeScalars.count
            let byte = String(bytes[offset], radix: 16)
            reader.record("expected UTF-8; the byte \(byte) is none", at: valid)
            return (nil, reader.errors)
        }
        let value = reader.document()
        return (value, reader.errors)
    }

    private static func invalidUTF8(in bytes: [UInt8]) -> Int? {
        do {
            _ = try UTF8Span(validating: bytes.span)
            return nil
        } catch {
            return error.byteOffsets.lowerBound
        }
    }

    private mutating func document() -> JSON5Value? {
        do {
            try self.skipSpace()
            let value = try self.value()
            try self.skipSpace()
            if self.current != nil { throw self.expected("the end of the document") }
            return value
        } catch {
            return nil
        }
    }
}

// MARK: - Values

extension JSON5Reader {
    private mutating func value() throws(Fault) -> JSON5Value {
        let start = self.position
        let location = self.location(of: start)
        switch self.current {
        case "{": return JSON5Value(.object(try self.members()), at: location)
        case "[": return JSON5Value(.array(try self.elements()), at: location)
        case "\"", "'": return JSON5Value(.string(try self.string()), at: location)
        case let scalar? where Self.beginsNumber(scalar):
            return JSON5Value(try self.number(), at: location)
        case let scalar? where Self.beginsIdentifier(scalar):
            return JSON5Value(try self.word(), at: location)
        default: throw self.expected("a value")
        }
    }

    private mutating func word() throws(Fault) -> JSON5Value.Content {
        let start = self.position
        let word = try self.identifier()
        switch word {
        case "null": return .null
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "Infinity": return .double(.infinity)
        case "NaN": return .double(.nan)
        default:
            throw self.fault("expected a value; text needs quotes: \"\(Excerpt.escaped(word))\"", at: start)
        }
    }

    private mutating func members() throws(Fault) -> [JSON5Value.Member] {
        var members: [JSON5Value.Member] = []
        try self.container(closing: "}") { reader throws(Fault) in
            let location = reader.location(of: reader.position)
            let name = try reader.memberName()
            try reader.skipSpace()
            guard reader.current == ":" else {
                throw reader.expected("':' behind \(Excerpt.escaped(name))")
            }
            reader.position += 1
            try reader.skipSpace()
            members.append(JSON5Value.Member(name: name, location: location, value: try reader.value()))
        }
        return members
    }

    private mutating func memberName() throws(Fault) -> String {
        switch self.current {
        case "\"", "'": return try self.string()
        case let scalar? where Self.beginsIdentifier(scalar): return try self.identifier()
        default: throw self.expected("a key or '}'")
        }
    }

    private mutating func elements() throws(Fault) -> [JSON5Value] {
        var elements: [JSON5Value] = []
        try self.container(closing: "]") { reader throws(Fault) in
            elements.append(try reader.value())
        }
        return elements
    }

    /// Reads what stands between brackets, separated by commas; the position is at the opening bracket.
    ///
    /// Behind a fault inside it goes on at the next comma or bracket of this container.
    private mutating func container(
        closing: Unicode.Scalar, item: (inout JSON5Reader) throws(Fault) -> Void
    ) throws(Fault) {
        let opening = self.position
        guard self.depth < Self.depthLimit else {
            // Nothing behind it makes sense any more.
            defer { self.position = self.text.count }
            throw self.fault(
                "expected at most \(Self.depthLimit) arrays and objects inside each other", at: opening)
        }
        self.depth += 1
        defer { self.depth -= 1 }
        self.position += 1
        while true {
            do {
                try self.skipSpace()
                if self.current == closing { break }
                try item(&self)
                try self.skipSpace()
                if self.current == closing { break }
                if self.current == "," {
                    self.position += 1
                } else if self.current != nil, self.current != "}", self.current != "]" {
                    // A forgotten comma: what stands here is taken for the next item.
                    self.record(self.expectation("',' or '\(closing)'"), at: self.position)
                    if !self.beginsItem(of: closing) { throw Fault() }
                } else {
                    throw self.expected("',' or '\(closing)'")
                }
            } catch {
                guard self.recover() else { throw Fault() }
                if self.current == "," || self.current.map(Self.isLineEnd) ?? false {
                    self.position += 1
                } else if self.current != closing {
                    // A bracket of another kind ends this container as well.
                    self.position += 1
                    return
                }
            }
        }
        self.position += 1
    }

    private func beginsItem(of closing: Unicode.Scalar) -> Bool {
        guard let scalar = self.current else { return false }
        if scalar == "\"" || scalar == "'" || Self.beginsIdentifier(scalar) { return true }
        return closing == "]" && (scalar == "{" || scalar == "[" || Self.beginsNumber(scalar))
    }

    /// Moves to the next comma or closing bracket of the container that is being read, or to the end of the
    /// line on which a string had no end; false when the text ends before.
    private mutating func recover() -> Bool {
        if self.stringIsCut {
            self.stringIsCut = false
            return true
        }
        var open = 0
        while let scalar = self.current {
            switch scalar {
            case "{", "[": open += 1
            case "}", "]":
                if open == 0 { return true }
                open -= 1
            case "," where open == 0: return true
            case "\"", "'":
                let known = self.errors.count
                if (try? self.string()) != nil { continue }
                self.errors.removeLast(self.errors.count - known)
                self.stringIsCut = false
                self.skipLine()
                continue
            case "/":
                let before = self.position
                let known = self.errors.count
                try? self.skipSpace()
                self.errors.removeLast(self.errors.count - known)
                if self.position > before { continue }
            default: break
            }
            self.position += 1
        }
        return false
    }
}

// MARK: - Faults

extension JSON5Reader {
    /// The scalar at the position; nil at the end.
    var current: Unicode.Scalar? { self.position < self.text.count ? self.text[self.position] : nil }

    func scalar(at offset: Int) -> Unicode.Scalar? {
        self.position + offset < self.text.count ? self.text[self.position + offset] : nil
    }

    /// - Complexity: O(log lines).
    func location(of position: Int) -> SourceLocation {
        var low = 0
        var high = self.lineStarts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if self.lineStarts[middle] <= position { low = middle } else { high = middle }
        }
        return SourceLocation(line: low + 1, column: position - self.lineStarts[low] + 1)
    }

    mutating func record(_ message: String, at position: Int) {
        guard self.errors.count < Self.errorLimit else { return }
        self.errors.append(JSON5Error(location: self.location(of: position), message: message))
    }

    mutating func fault(_ message: String, at position: Int) -> Fault {
        self.record(message, at: position)
        return Fault()
    }

    mutating func expected(_ what: String) -> Fault { self.fault(self.expectation(what), at: self.position) }

    func expectation(_ what: String) -> String {
        guard let scalar = self.current else { return "expected \(what), found the end of the file" }
        return "expected \(what), found '\(Excerpt.escaped(String(Character(scalar))))'"
    }
}
