import Protocol

/// One call as bytes, rendered once. What differs from call to call are digits, written in place:
///
///     {"jsonrpc":"2.0","id":100000100000007,"method":"echo","params":{"n":"000000000042"}}\n
///                           └ 15 digits                               └ 12 digits, for each `$N` in the params
struct CallTemplate {
    /// Ids are numbers of so many digits, the first not 0.
    static let idDigits = 15
    static let numberDigits = 12
    /// Stands inside a string of the params for a number that differs from call to call.
    static let placeholder = "$N"

    let method: String
    private let bytes: [UInt8]
    private let idOffset: Int
    private let numberOffsets: [Int]

    /// - Parameters:
    ///   - params: JSON text; empty: none.
    ///   - metadata: JSON text; empty: none.
    init(method: String, params: String = "", metadata: String = "") {
        var bytes = Array("{\"jsonrpc\":\"2.0\",\"id\":".utf8)
        self.idOffset = bytes.count
        bytes.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: Self.idDigits))
        bytes.append(contentsOf: ",\"method\":".utf8)
        JSONText.append(string: method, to: &bytes)
        var numberOffsets: [Int] = []
        if !params.isEmpty {
            bytes.append(contentsOf: ",\"params\":".utf8)
            numberOffsets = Self.append(params, to: &bytes)
        }
        if !metadata.isEmpty { bytes.append(contentsOf: ",\"metadata\":\(metadata)".utf8) }
        bytes.append(contentsOf: "}\n".utf8)
        self.method = method
        self.bytes = bytes
        self.numberOffsets = numberOffsets
    }

    /// Whether a call's number makes a difference.
    var isVaried: Bool { !self.numberOffsets.isEmpty }

    /// Appends params with digits in place of each placeholder.
    ///
    /// - Returns: where the digits are.
    private static func append(_ params: String, to output: inout [UInt8]) -> [Int] {
        var offsets: [Int] = []
        var text: [UInt8] = []
        let json = Array(params.utf8)
        json.withUnsafeBytes { MessageWriter.appendOnOneLine($0, to: &text) }
        var index = 0
        while index < text.count {
            if text[index...].starts(with: Self.placeholder.utf8) {
                offsets.append(output.count)
                output.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: Self.numberDigits))
                index += Self.placeholder.utf8.count
            } else {
                output.append(text[index])
                index += 1
            }
        }
        return offsets
    }

    /// Appends the call, a line.
    ///
    /// - Parameters:
    ///   - id: of 15 digits.
    ///   - number: below 10¹².
    func append(id: UInt64, number: UInt64, to output: inout [UInt8]) {
        let start = output.count
        output.append(contentsOf: self.bytes)
        Self.write(id, count: Self.idDigits, at: start + self.idOffset, to: &output)
        for offset in self.numberOffsets {
            Self.write(number, count: Self.numberDigits, at: start + offset, to: &output)
        }
    }

    private static func write(_ number: UInt64, count: Int, at offset: Int, to output: inout [UInt8]) {
        var rest = number
        for index in (offset..<offset + count).reversed() {
            output[index] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }
}
