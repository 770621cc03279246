/// Reads single members out of params without decoding the rest.
public enum ParamsReader {
    /// The value of a top-level member of an accepted object, as JSON text; nil when there is none. Of a
    /// doubled member, the first.
    ///
    /// - Complexity: O(bytes), no allocation.
    public static func value(
        _ name: StaticString, in params: UnsafeRawBufferPointer
    ) -> UnsafeRawBufferPointer? {
        guard let first = params.first, first == UInt8(ascii: "{") else { return nil }
        var found: Range<Int>?
        var scanner = JSONScanner(params)
        do {
            try scanner.forEachMember { key, isEscaped, value in
                guard found == nil else { return }
                let isName =
                    isEscaped
                    ? JSONScanner.unescaped(params, key) == name.description
                    : Envelope.equal(params, key, name)
                if isName { found = value }
            }
        } catch {
            preconditionFailure("params that were never scanned: \(error)")
        }
        return found.map { UnsafeRawBufferPointer(rebasing: params[$0]) }
    }

    /// The same when it is a string, escapes resolved.
    public static func string(_ name: StaticString, in params: UnsafeRawBufferPointer) -> String? {
        guard let value = self.value(name, in: params), value.first == UInt8(ascii: "\"") else { return nil }
        return JSONScanner.unescaped(value, 1..<value.count - 1)
    }
}
