/// Finds what somebody probably meant by a name that does not exist.
public enum NearestName {
    /// The nearest of the known names, if one is near enough to be worth saying: at most a third of the name
    /// (and at least 2) edits away, or one begins with the other.
    ///
    /// - Complexity: O(names × length²).
    public static func find(_ name: String, in known: some Sequence<String>) -> String? {
        let limit = max(2, name.count / 3)
        var best: (name: String, distance: Int)?
        for candidate in known {
            var distance = self.distance(Array(name), Array(candidate))
            if name.count >= 3, candidate.hasPrefix(name) || name.hasPrefix(candidate) {
                distance = min(distance, limit)
            }
            guard distance <= limit, distance < max(name.count, candidate.count) else { continue }
            if best.map({ distance < $0.distance }) ?? true { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
    static func distance(_ left: [Character], _ right: [Character]) -> Int {
        var beforePrevious: [Int] = []
        var previous = Array(0...right.count)
        for row in 0..<left.count {
            var current = [row + 1]
            for column in 0..<right.count {
                let substitution = previous[column] + (left[row] == right[column] ? 0 : 1)
                var best = min(substitution, previous[column + 1] + 1, current[column] + 1)
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    best = min(best, beforePrevious[column - 1] + 1)
                }
                current.append(best)
            }
            (beforePrevious, previous) = (previous, current)
        }
        return previous[right.count]
    }
}
