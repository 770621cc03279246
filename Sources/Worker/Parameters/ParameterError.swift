import Protocol

/// A parameter that is not what the contract says: where it stands and what was expected.
struct ParameterError: Error, Equatable, CustomStringConvertible {
    var path: String
    /// A stable word: `missing`, `unknown_key`, `invalid_value`.
    var reason: String
    var description: String

    init(_ path: String, reason: String = "invalid_value", message: String) {
        self.path = path
        self.reason = reason
        self.description = message
    }

    /// A value of the wrong kind or out of range.
    init(_ path: String, expected: String, found value: JSONValue) {
        self.init(path, message: "\(path): expected \(expected), found \(Self.describe(value))")
    }

    /// A name that means nothing there.
    ///
    /// - Parameter known: the names that do.
    init(unknown path: String, name: String, known: [String]) {
        let hint =
            Suggestion.nearest(to: name, among: known).map { "; did you mean `\($0)`?" }
            ?? (known.isEmpty ? "" : "; expected one of \(known.joined(separator: ", "))")
        self.init(path, reason: "unknown_key", message: "\(path): unknown key\(hint)")
    }

    /// Short values as they are, others by their kind.
    private static func describe(_ value: JSONValue) -> String {
        switch value {
        case .integer, .double, .bool, .null: return value.text
        case .string(let text) where text.utf8.count <= 24: return value.text
        case .string, .array, .object: return value.kindDescription
        }
    }
}

/// The known word that a wrong one was probably meant to be.
enum Suggestion {
    /// The nearest by edit distance, at most a third of the word away; nil when none is near.
    static func nearest(to word: String, among known: [String]) -> String? {
        let limit = max(2, word.count / 3)
        let ranked = known.map { (word: $0, distance: self.distance(word, $0)) }
        guard let best = ranked.min(by: { $0.distance < $1.distance }), best.distance <= limit,
            best.distance < max(best.word.count, word.count)
        else { return nil }
        return best.word
    }

    /// Levenshtein's distance.
    ///
    /// - Complexity: O(n · m); words beyond 64 bytes are not compared.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        guard left.count <= 64, right.count <= 64 else { return Int.max }
        var row = Array(0...right.count)
        for (i, byte) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, other) in right.enumerated() {
                let substituted = diagonal + (byte == other ? 0 : 1)
                diagonal = row[j + 1]
                row[j + 1] = min(substituted, row[j] + 1, row[j + 1] + 1)
            }
        }
        return row[right.count]
    }
}
