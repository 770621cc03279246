import Protocol

/// What the supervisor knows about methods by name: who answers them, how long they may take, which of them
/// may be sent twice, and which answers may be given to others.
struct MethodTable {
    /// Answered by the supervisor itself.
    enum LocalMethod: String, CaseIterable {
        case ping
        case status = "supervisor.status"
        case restart = "supervisor.restart"
        case reload = "supervisor.reload"
        case drain = "supervisor.drain"
        case scale = "supervisor.scale"
        case stop = "supervisor.stop"
        case clearCache = "cache.clear"
        case initializePipeline = "pipeline.initialize"
        case destroyPipeline = "pipeline.destroy"
        case listPipelines = "pipeline.list"
        case cancelRequest = "$/cancelRequest"
        case cancelled = "notifications/cancelled"
    }

    /// A small number that stands for a method with rules of its own; `other` for all the rest.
    struct Index: Equatable {
        var value: Int
        static let other = Index(value: 0)
        /// What the cache of embeddings has a part in.
        static let embeddingCreate = Index(value: 1)
    }

    enum Route: Equatable {
        case local(LocalMethod)
        /// A name that never reaches a worker and that the supervisor does not answer.
        case reserved
        case worker(Index)
    }

    private struct Entry {
        var name: [UInt8]
        var timeout: Nanoseconds
    }

    /// Methods that the contract gives to the supervisor, so that no worker sees them.
    private static let reservedNames = ["health.detailed", "system.info"]
    private static let reservedPrefixes: [StaticString] = [
        "supervisor.", "config.", "events.", "cache.", "embedding_cache.", "rpc.", "$/", "notifications/",
    ]

    private let local = LocalMethod.allCases.map { (method: $0, name: Array($0.rawValue.utf8)) }
    private let reserved = Self.reservedNames.map { Array($0.utf8) }
    private var entries: [Entry]
    /// Whether a worker of a pool says that the method may be sent twice: pool, then method.
    private var declaredIdempotent: [[Bool]]
    private var idempotent: [Bool]
    /// The same of methods whose results may be cached.
    private var declaredCacheable: [[Bool]]
    private var cacheable: [Bool]
    /// Entries that there may be: the configuration's, and as many as workers may add.
    private var capacity = Int.max

    /// Never cached as a whole, whoever says so: questions of one worker's state, what is answered in chunks, and
    /// embeddings, which are cached text by text.
    static let uncacheable = ["health.check", "metrics.get", "rag.stream", "embedding.create"]

    /// Names of workers that are told apart.
    private static let declaredNames = 200

    init(_ configuration: Configuration) {
        let first = ["", "embedding.create"].map { Entry(name: Array($0.utf8), timeout: 0) }
        self.entries = first
        self.idempotent = first.map { _ in false }
        self.declaredIdempotent = configuration.pools.map { _ in first.map { _ in false } }
        self.cacheable = self.idempotent
        self.declaredCacheable = self.declaredIdempotent
        self.configure(configuration)
    }

    /// Takes the rules of a configuration. Indices that were given out stay what they are.
    mutating func configure(_ configuration: Configuration) {
        let timeouts = configuration.timeouts
        self.capacity = .max
        for index in self.entries.indices {
            self.entries[index].timeout = min(timeouts.standard, timeouts.max)
            self.idempotent[index] = false
            self.cacheable[index] = false
        }
        for (name, timeout) in timeouts.perMethod.sorted(by: { $0.key < $1.key }) {
            self.entries[self.index(adding: name).value].timeout = min(timeout, timeouts.max)
        }
        for name in configuration.retry.methods {
            self.idempotent[self.index(adding: name).value] = true
        }
        for name in configuration.cache.cacheableMethods where !Self.uncacheable.contains(name) {
            self.cacheable[self.index(adding: name).value] = true
        }
        self.capacity = self.entries.count + Self.declaredNames
    }

    /// Names known to the supervisor, for "did you mean".
    var knownNames: [String] {
        LocalMethod.allCases.map(\.rawValue).filter { !$0.hasPrefix("$/") }
            + self.entries.dropFirst().map { String(decoding: $0.name, as: UTF8.self) }
    }

    /// Where a call goes. O(methods with rules), no allocation.
    func route(_ name: UnsafeRawBufferPointer) -> Route {
        for entry in self.local where name.elementsEqual(entry.name) { return .local(entry.method) }
        for entry in self.reserved where name.elementsEqual(entry) { return .reserved }
        for prefix in Self.reservedPrefixes where name.starts(with: prefix.bytes) { return .reserved }
        return .worker(self.index(of: name))
    }

    private func index(of name: UnsafeRawBufferPointer) -> Index {
        for index in 1..<max(1, self.entries.count) where name.elementsEqual(self.entries[index].name) {
            return Index(value: index)
        }
        return .other
    }

    /// How long a call of the method may take unless its caller says otherwise.
    func timeout(of method: Index) -> Nanoseconds { self.entries[method.value].timeout }

    func isIdempotent(_ method: Index, in pool: Int) -> Bool {
        self.idempotent[method.value] || self.declaredIdempotent[pool][method.value]
    }

    /// Whether a result may be given to others who ask the same.
    func isCacheable(_ method: Index, in pool: Int) -> Bool {
        self.cacheable[method.value] || self.declaredCacheable[pool][method.value]
    }

    /// A worker of the pool declared these methods idempotent; it replaces what the pool declared before.
    mutating func declareIdempotent(_ names: [String], in pool: Int) {
        self.declaredIdempotent[pool] = self.flags(for: names)
    }

    /// The same of methods whose results may be cached.
    mutating func declareCacheable(_ names: [String], in pool: Int) {
        self.declaredCacheable[pool] = self.flags(for: names.filter { !Self.uncacheable.contains($0) })
    }

    private mutating func flags(for names: [String]) -> [Bool] {
        var indices: Set<Int> = []
        for name in names.prefix(Self.declaredNames) {
            // One that found no place is not known: `other` stands for methods that nobody declared.
            let index = self.index(adding: name)
            if index != .other { indices.insert(index.value) }
        }
        return self.entries.indices.map { indices.contains($0) }
    }

    /// The index of a name, which gets one if it has none and there is room.
    private mutating func index(adding name: String) -> Index {
        let bytes = Array(name.utf8)
        if let known = self.entries.indices.dropFirst().first(where: { self.entries[$0].name == bytes }) {
            return Index(value: known)
        }
        guard self.entries.count < self.capacity else { return .other }
        self.entries.append(Entry(name: bytes, timeout: self.entries[0].timeout))
        self.idempotent.append(false)
        self.cacheable.append(false)
        for pool in self.declaredIdempotent.indices {
            self.declaredIdempotent[pool].append(false)
            self.declaredCacheable[pool].append(false)
        }
        return Index(value: self.entries.count - 1)
    }
}

extension StaticString {
    fileprivate var bytes: UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: self.utf8Start, count: self.utf8CodeUnitCount)
    }
}

/// A pattern with `*` for any run of characters, dots too, and nothing else special.
struct Glob: Equatable, Sendable {
    private let pattern: [UInt8]
    let matchesEverything: Bool

    init(_ pattern: String) {
        self.pattern = Array(pattern.utf8)
        self.matchesEverything = pattern == "*"
    }

    /// O(pattern × text) at worst, O(text) in practice: only the last star is ever tried again.
    func matches(_ text: UnsafeRawBufferPointer) -> Bool {
        if self.matchesEverything { return true }
        var position = 0
        var index = 0
        var star: (pattern: Int, text: Int)?
        while position < text.count {
            if index < self.pattern.count, self.pattern[index] == UInt8(ascii: "*") {
                star = (index, position)
                index += 1
            } else if index < self.pattern.count, self.pattern[index] == text[position] {
                index += 1
                position += 1
            } else if let last = star {
                star = (last.pattern, last.text + 1)
                index = last.pattern + 1
                position = last.text + 1
            } else {
                return false
            }
        }
        return self.pattern[index...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
