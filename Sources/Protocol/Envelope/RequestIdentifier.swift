/// Ids of requests, which are compared as JSON text.
public enum RequestIdentifier {
    /// Whether two ids mean the same call: strings after unescaping, numbers and null byte for byte.
    public static func areEqual(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        if left.elementsEqual(right) { return true }
        guard left.first == UInt8(ascii: "\""), right.first == UInt8(ascii: "\"") else { return false }
        return JSONScanner.unescapedUTF8(left, 1..<left.count - 1)
            == JSONScanner.unescapedUTF8(right, 1..<right.count - 1)
    }
}
