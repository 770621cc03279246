import Protocol

/// `supervisor cache stats|clear [TYPE] [--json]`
enum CacheCommand {
    /// What `cache.clear` takes; the last is all of them.
    private static let types = ["embedding", "response", "pipeline", "all"]

    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let type = try arguments.positionals.dropFirst().first.map(self.type) ?? "all"
        switch arguments.positionals[0] {
        case "stats": try self.showStatistics(type, arguments)
        case "clear": try self.clear(type, arguments)
        case let action: throw self.unknown("ACTION", action, ["stats", "clear"])
        }
    }

    private static func type(_ text: String) throws(CommandFailure) -> String {
        guard self.types.contains(text) else { throw self.unknown("TYPE", text, self.types) }
        return text
    }

    private static func unknown(_ name: String, _ text: String, _ known: [String]) -> CommandFailure {
        let hint = NearestName.find(text, in: known).map { "; did you mean \($0)?" } ?? ""
        let words = "\(known.dropLast().joined(separator: ", ")) or \(known.last ?? "")"
        return .usage("\(name): expected \(words), found \(Excerpt.escaped(text))\(hint)")
    }

    private static func showStatistics(
        _ type: String, _ arguments: ParsedArguments
    ) throws(CommandFailure) {
        let (status, _) = try ControlClient.operate(arguments, "supervisor.status")
        let caches = (status["cache"]?.objectValue ?? []).filter { type == "all" || $0.name == type }
        guard !caches.isEmpty else { throw .failed("the supervisor has no figures of the \(type) cache") }
        Terminal.print(
            arguments.flag("json") ? JSONValue.object(caches).text : CacheTable.text(caches))
    }

    /// Every worker is told as well, which takes as long as the slowest of them.
    private static func clear(_ type: String, _ arguments: ParsedArguments) throws(CommandFailure) {
        let (result, _) = try ControlClient.operate(
            arguments, "cache.clear", [.init("cache_type", .string(type))], waits: true)
        Terminal.print(arguments.flag("json") ? result.text : CacheTable.clearedText(result))
    }
}

/// The figures of the caches for a person: a column for each cache, a line for each figure, whichever there are.
///
///                                     EMBEDDING                    RESPONSE
///     entries           25000 of 100000, 25.0 %          12 of 10000, 0.1 %
///     bytes       32.0 MiB of 128.0 MiB, 25.0 %  1.0 MiB of 64.0 MiB, 1.6 %
///     hit ratio                          90.0 %                           -
///     hits                                 9000                           0
enum CacheTable {
    /// - Parameter caches: the members of `cache` in `supervisor.status`.
    static func text(_ caches: [JSONValue.Member]) -> String {
        var names: [String] = []
        for cache in caches {
            for figure in cache.value.objectValue ?? [] where !names.contains(figure.name) {
                names.append(figure.name)
            }
        }
        // A limit stands in the line of what it limits.
        let rows = names.filter { name in !names.contains { "max_\($0)" == name } }.map { name in
            [self.title(name)] + caches.map { self.cell(name, of: $0.value) }
        }
        let ratio = ["hit ratio"] + caches.map { self.hitRatio($0.value) }
        let place = rows.firstIndex { $0[0] == "hits" } ?? rows.count
        return self.aligned(
            [[""] + caches.map { self.title($0.name).uppercased() }] + rows[..<place] + [ratio]
                + rows[place...])
    }

    /// - Parameter result: of `cache.clear`.
    static func clearedText(_ result: JSONValue) -> String {
        let counts = result["cleared"]?.objectValue ?? []
        let cleared = counts.map { count in
            let number = self.figure(count.name, count.value)
            return "\(self.title(count.name)): \(number) \(number == "1" ? "entry" : "entries") cleared\n"
        }
        // Such as the workers that have not answered in time.
        let others = (result.objectValue ?? []).filter { $0.name != "cleared" && !self.isEmpty($0.value) }
        return (cleared + others.map { "\(self.title($0.name)): \(self.figure($0.name, $0.value))\n" })
            .joined()
    }

    private static func isEmpty(_ value: JSONValue) -> Bool {
        value.isNull || value.arrayValue?.isEmpty == true || value.objectValue?.isEmpty == true
    }

    private static func cell(_ name: String, of cache: JSONValue) -> String {
        guard let value = cache[name] else { return "-" }
        let used = self.figure(name, value)
        guard let limit = cache["max_\(name)"] else { return used }
        return "\(used) of \(self.figure(name, limit)), \(self.percent(value.doubleValue, limit.doubleValue))"
    }

    /// The share of calls that were answered from the cache; stale answers are answers.
    private static func hitRatio(_ cache: JSONValue) -> String {
        func count(_ name: String) -> Double { cache[name]?.doubleValue ?? 0 }
        let hits = count("hits") + count("stale_hits")
        return self.percent(hits, hits + count("misses") + count("coalesced"))
    }

    private static func percent(_ part: Double?, _ whole: Double?) -> String {
        guard let part, let whole, whole > 0 else { return "-" }
        return "\(StatusTable.rounded(part / whole * 100, 1)) %"
    }

    private static func figure(_ name: String, _ value: JSONValue) -> String {
        name.hasSuffix("bytes") ? StatusTable.bytes(value) : StatusTable.word(value)
    }

    private static func title(_ name: String) -> String {
        Excerpt.escaped(String(name.map { $0 == "_" ? " " : $0 }))
    }

    private static func aligned(_ rows: [[String]]) -> String {
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 ? cell + padding : padding + cell
            }
            return cells.joined(separator: "  ") + "\n"
        }.joined()
    }
}
