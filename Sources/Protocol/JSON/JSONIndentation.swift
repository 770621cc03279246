/// Lays out JSON over several lines for people, token by token: numbers and strings stay as they were written.
///
///     {"a":[1.50,{}]}   →   {
///                             "a": [
///                               1.50,
///                               {}
///                             ]
///                           }
public enum JSONIndentation {
    private static let step = 2

    /// - Parameter json: one accepted document.
    /// - Complexity: O(bytes + lines × depth).
    public static func text(_ json: UnsafeRawBufferPointer) -> String {
        var output: [UInt8] = []
        var depth = 0
        var index = 0
        func newLine(_ depth: Int) {
            output.append(0x0A)
            output.append(contentsOf: repeatElement(0x20, count: depth * self.step))
        }
        while index < json.count {
            let byte = json[index]
            switch byte {
            case UInt8(ascii: "\""):
                let end = JSONScanner.endOfString(json, openingQuote: index)
                output.append(contentsOf: json[index..<end])
                index = end
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                output.append(byte)
                let next = self.skipSpace(json, from: index + 1)
                if next < json.count, json[next] == byte + 2 {  // the closing bracket is two places on
                    output.append(json[next])
                    index = next
                } else {
                    depth += 1
                    newLine(depth)
                }
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                newLine(depth)
                output.append(byte)
            case UInt8(ascii: ","):
                output.append(byte)
                newLine(depth)
            case UInt8(ascii: ":"):
                output.append(contentsOf: ": ".utf8)
            case _ where JSONScanner.isSpace(byte):
                break
            default:
                output.append(byte)
            }
            index += 1
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func skipSpace(_ json: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start
        while index < json.count, JSONScanner.isSpace(json[index]) { index += 1 }
        return index
    }
}
