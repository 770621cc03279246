extension JSONValue {
    /// The document as one line of JSON, in UTF-8, without space between tokens.
    public var bytes: [UInt8] {
        var output: [UInt8] = []
        self.write(to: &output)
        return output
    }

    /// The document as one line of JSON.
    public var text: String { String(decoding: self.bytes, as: UTF8.self) }

    /// Appends the document as one line of JSON.
    public func write(to output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): JSONText.append(integer: value, to: &output)
        case .double(let value): JSONText.append(double: value, to: &output)
        case .string(let value): JSONText.append(string: value, to: &output)
        case .array(let elements):
            output.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                element.write(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                JSONText.append(string: member.name, to: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(to: &output)
            }
            output.append(UInt8(ascii: "}"))
        }
    }
}

/// Writes single JSON tokens into a byte array.
public enum JSONText {
    private static let hexDigits = Array("0123456789abcdef".utf8)

    /// Appends a string in quotes; only what RFC 8259 requires is escaped: `"`, `\` and U+0000 to U+001F.
    public static func append(string: String, to output: inout [UInt8]) {
        var string = string
        string.withUTF8 { append(utf8: UnsafeRawBufferPointer($0), to: &output) }
    }

    /// Appends valid UTF-8 as a string in quotes.
    public static func append(utf8 bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        var clean = 0  // start of the run that needs no escape
        for index in 0..<bytes.count {
            let byte = bytes[index]
            if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") { continue }
            output.append(contentsOf: bytes[clean..<index])
            append(escapeFor: byte, to: &output)
            clean = index + 1
        }
        output.append(contentsOf: bytes[clean..<bytes.count])
        output.append(UInt8(ascii: "\""))
    }

    private static func append(escapeFor byte: UInt8, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\\"))
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(byte)
        case UInt8(ascii: "\n"): output.append(UInt8(ascii: "n"))
        case UInt8(ascii: "\r"): output.append(UInt8(ascii: "r"))
        case UInt8(ascii: "\t"): output.append(UInt8(ascii: "t"))
        default:
            output.append(contentsOf: "u00".utf8)
            output.append(hexDigits[Int(byte >> 4)])
            output.append(hexDigits[Int(byte & 15)])
        }
    }

    /// Appends a whole number in decimal, without making a String.
    public static func append(integer: Int64, to output: inout [UInt8]) {
        output.append(atMost: 1 + ByteWriter.numberBytes) { $0.append(integer: integer) }
    }

    /// Appends a whole number in decimal, without making a String.
    public static func append(unsigned: UInt64, to output: inout [UInt8]) {
        output.append(atMost: ByteWriter.numberBytes) { $0.append(unsigned: unsigned) }
    }

    /// Appends the shortest text that reads back as the same number; what JSON cannot say (NaN and the
    /// infinities) becomes null.
    public static func append(double: Double, to output: inout [UInt8]) {
        guard double.isFinite else {
            output.append(contentsOf: "null".utf8)
            return
        }
        output.append(contentsOf: double.description.utf8)
    }
}
