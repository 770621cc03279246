// White space, comments, names, strings and numbers: the lexical grammar of JSON5.

extension JSON5Reader {
    static func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\n" || scalar == "\r" || scalar == "\u{2028}" || scalar == "\u{2029}"
    }

    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case " ", "\t", "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}": true
        default:
            self.isLineEnd(scalar) || !scalar.isASCII && scalar.properties.generalCategory == .spaceSeparator
        }
    }

    /// Steps over white space and comments.
    mutating func skipSpace() throws(Fault) {
        while let scalar = self.current {
            if Self.isSpace(scalar) {
                self.position += 1
            } else if scalar == "/", self.scalar(at: 1) == "/" {
                self.skipLine()
            } else if scalar == "/", self.scalar(at: 1) == "*" {
                try self.skipBlockComment()
            } else {
                return
            }
        }
    }

    /// Moves to the end of the line.
    mutating func skipLine() {
        while let scalar = self.current, !Self.isLineEnd(scalar) { self.position += 1 }
    }

    private mutating func skipBlockComment() throws(Fault) {
        let start = self.position
        self.position += 2
        while let scalar = self.current {
            if scalar == "*", self.scalar(at: 1) == "/" {
                self.position += 2
                return
            }
            self.position += 1
        }
        throw self.fault("expected */ at the end of this comment", at: start)
    }
}

// MARK: - Names

extension JSON5Reader {
    static func beginsIdentifier(_ scalar: Unicode.Scalar) -> Bool {
        if scalar == "$" || scalar == "_" || scalar == "\\" { return true }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter,
            .letterNumber:
            return true
        default: return false
        }
    }

    private static func continuesIdentifier(_ scalar: Unicode.Scalar) -> Bool {
        if self.beginsIdentifier(scalar) || scalar == "\u{200C}" || scalar == "\u{200D}" { return true }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .spacingMark, .decimalNumber, .connectorPunctuation: return true
        default: return false
        }
    }

    mutating func identifier() throws(Fault) -> String {
        var name = ""
        while let scalar = self.current, Self.continuesIdentifier(scalar) {
            guard scalar == "\\" else {
                name.unicodeScalars.append(scalar)
                self.position += 1
                continue
            }
            let start = self.position
            self.position += 1
            guard self.current == "u" else { throw self.fault("expected \\uXXXX in a key", at: start) }
            self.position += 1
            let escaped = try self.unicodeEscape(from: start)
            let isAllowed = name.isEmpty ? Self.beginsIdentifier(escaped) : Self.continuesIdentifier(escaped)
            guard isAllowed, escaped != "\\" else {
                throw self.fault("expected a letter or digit behind \\u in a key without quotes", at: start)
            }
            name.unicodeScalars.append(escaped)
        }
        return name
    }
}

// MARK: - Strings

extension JSON5Reader {
    /// The position is at the opening quote.
    mutating func string() throws(Fault) -> String {
        let start = self.position
        let quote = self.current
        var content = ""
        self.position += 1
        while let scalar = self.current {
            switch scalar {
            case quote:
                self.position += 1
                return content
            case "\\":
                if let escaped = try self.escape() { content.unicodeScalars.append(escaped) }
            case "\n", "\r":
                self.stringIsCut = true
                throw self.fault("expected the end of this string on its line", at: start)
            default:
                content.unicodeScalars.append(scalar)
                self.position += 1
            }
        }
        throw self.fault("expected the end of this string", at: start)
    }

    /// The scalar that an escape means; nil for a line continuation.
    private mutating func escape() throws(Fault) -> Unicode.Scalar? {
        let start = self.position
        self.position += 1
        guard let kind = self.current else { throw self.expected("the end of an escape") }
        self.position += 1
        switch kind {
        case "b": return "\u{08}"
        case "f": return "\u{0C}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "v": return "\u{0B}"
        case "0":
            guard !(self.current.map(Self.isDigit) ?? false) else {
                throw self.fault("expected no digit behind \\0", at: start)
            }
            return "\0"
        case "1"..."9": throw self.fault("expected no digit behind a backslash", at: start)
        case "x": return Unicode.Scalar(UInt8(truncatingIfNeeded: try self.hexDigits(2)))
        case "u": return try self.unicodeEscape(from: start)
        case "\r":
            if self.current == "\n" { self.position += 1 }
            return nil
        case "\n", "\u{2028}", "\u{2029}": return nil
        default: return kind
        }
    }

    /// `XXXX`, or `XXXX\uXXXX` for a character beyond 16 bits, the position at the first digit.
    mutating func unicodeEscape(from start: Int) throws(Fault) -> Unicode.Scalar {
        let unit = try self.hexDigits(4)
        if let scalar = Unicode.Scalar(unit) { return scalar }
        if unit < 0xDC00, self.current == "\\", self.scalar(at: 1) == "u" {
            self.position += 2
            let low = try self.hexDigits(4)
            if (0xDC00..<0xE000).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
            {
                return scalar
            }
        }
        throw self.fault("expected both halves of a surrogate pair", at: start)
    }

    private mutating func hexDigits(_ count: Int) throws(Fault) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = self.current.flatMap(Self.hexValue) else {
                throw self.expected("\(count) hexadecimal digits")
            }
            value = value << 4 | digit
            self.position += 1
        }
        return value
    }
}

// MARK: - Numbers

extension JSON5Reader {
    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func hexValue(_ scalar: Unicode.Scalar) -> UInt32? {
        UInt8(exactly: scalar.value).flatMap { JSONScanner.hexValue($0) }
    }

    static func beginsNumber(_ scalar: Unicode.Scalar) -> Bool {
        self.isDigit(scalar) || scalar == "+" || scalar == "-" || scalar == "."
    }

    mutating func number() throws(Fault) -> JSON5Value.Content {
        let start = self.position
        let isNegative = self.current == "-"
        if self.current == "-" || self.current == "+" { self.position += 1 }
        let number: JSON5Value.Content
        if let scalar = self.current, Self.beginsIdentifier(scalar) {
            number = try self.namedNumber(isNegative: isNegative, from: start)
        } else if self.current == "0", self.scalar(at: 1) == "x" || self.scalar(at: 1) == "X" {
            number = try self.hexadecimal(isNegative: isNegative, from: start)
        } else {
            number = try self.decimal(isNegative: isNegative, from: start)
        }
        if let scalar = self.current, Self.continuesIdentifier(scalar) || scalar == "." {
            throw self.fault("expected a number; text such as \"5s\" needs quotes", at: start)
        }
        return number
    }

    private mutating func namedNumber(isNegative: Bool, from start: Int) throws(Fault) -> JSON5Value.Content {
        switch try self.identifier() {
        case "Infinity": return .double(isNegative ? -.infinity : .infinity)
        case "NaN": return .double(.nan)
        default: throw self.fault("expected a number behind the sign", at: start)
        }
    }

    private mutating func hexadecimal(isNegative: Bool, from start: Int) throws(Fault) -> JSON5Value.Content {
        self.position += 2
        let digits = self.take { Self.hexValue($0) != nil }
        guard !digits.isEmpty else { throw self.expected("a hexadecimal digit") }
        if let integer = Int64((isNegative ? "-" : "") + digits, radix: 16) { return .integer(integer) }
        let magnitude = digits.unicodeScalars.reduce(0.0) { $0 * 16 + Double(Self.hexValue($1) ?? 0) }
        return .double(isNegative ? -magnitude : magnitude)
    }

    /// `5`, `5.`, `.5`, `5.5`, each with an exponent or without; no leading zero.
    private mutating func decimal(isNegative: Bool, from start: Int) throws(Fault) -> JSON5Value.Content {
        let whole = self.take(Self.isDigit)
        guard whole.count <= 1 || !whole.hasPrefix("0") else {
            throw self.fault("expected a number without leading zero", at: start)
        }
        var fraction: String?
        if self.current == "." {
            self.position += 1
            fraction = self.take(Self.isDigit)
        }
        guard !whole.isEmpty || !(fraction ?? "").isEmpty else { throw self.expected("a digit") }
        let exponent = try self.exponent()
        let sign = isNegative ? "-" : ""
        if fraction == nil, exponent == nil, let integer = Int64(sign + whole) { return .integer(integer) }
        let text = sign + (whole.isEmpty ? "0" : whole) + "." + (fraction ?? "") + "0e" + (exponent ?? "0")
        guard let double = Double(text), double.isFinite else {
            throw self.fault("expected a number that fits into 64 bits", at: start)
        }
        return .double(double)
    }

    private mutating func exponent() throws(Fault) -> String? {
        guard self.current == "e" || self.current == "E" else { return nil }
        self.position += 1
        var sign = ""
        if self.current == "-" || self.current == "+" {
            sign = self.current == "-" ? "-" : ""
            self.position += 1
        }
        let digits = self.take(Self.isDigit)
        guard !digits.isEmpty else { throw self.expected("a digit of the exponent") }
        return sign + digits
    }

    private mutating func take(_ belongs: (Unicode.Scalar) -> Bool) -> String {
        var taken = ""
        while let scalar = self.current, belongs(scalar) {
            taken.unicodeScalars.append(scalar)
            self.position += 1
        }
        return taken
    }
}
