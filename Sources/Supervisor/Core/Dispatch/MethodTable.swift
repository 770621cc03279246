import Protocol

/// What the supervisor knows about methods by name: who answers them, how long they may take, which of them
/// may be sent twice, which answers may be given to others, and which have figures of their own.
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
        case explain = "supervisor.explain"
        case clearCache = "cache.clear"
        case initializePipeline = "pipeline.initialize"
        case destroyPipeline = "pipeline.destroy"
        case listPipelines = "pipeline.list"
        /// Of the pool; what asks for one worker's is passed on.
        case metrics = "metrics.get"
        case validateConfiguration = "config.validate"
        case updateConfiguration = "config.update"
        case reloadConfiguration = "config.reload"
        case subscribe = "events.subscribe"
        case unsubscribe = "events.unsubscribe"
        case systemInfo = "system.info"
        case healthDetailed = "health.detailed"
        case discover = "rpc.discover"
        case cancelRequest = "$/cancelRequest"
        case cancelled = "notifications/cancelled"
    }

    /// A small number that stands for a method with rules of its own; `other` for all the rest.
    struct Index: Equatable {
        var value: Int
        static let other = Index(value: 0)
        /// What the cache of embeddings has a part in.
        static let embeddingCreate = Index(value: 1)
        /// What is always answered in chunks.
        static let ragStream = Index(value: 3)
    }

    enum Route: Equatable {
        case local(LocalMethod, Index)
        /// A name that never reaches a worker and that the supervisor does not answer.
        case reserved
        case worker(Index)
    }

    /// What names are told apart by: of those of up to 16 bytes it is all there is.
    private struct Fingerprint: Equatable {
        private let first: UInt64
        private let last: UInt64
        private let count: Int

        init(_ name: UnsafeRawBufferPointer) {
            self.count = name.count
            if name.count >= 8 {
                self.first = name.loadUnaligned(as: UInt64.self)
                self.last = name.loadUnaligned(fromByteOffset: name.count - 8, as: UInt64.self)
            } else {
                self.first = name.reduce(0) { $0 << 8 | UInt64($1) }
                self.last = 0
            }
        }

        /// Whether a name can be another of the same fingerprint.
        var isAmbiguous: Bool { self.count > 16 }

        /// Good enough for a table; whoever makes names collide has them all compared.
        var hash: Int {
            let mixed = (self.first ^ self.last &* 0x9E37_79B9_7F4A_7C15 ^ UInt64(self.count))
            return Int(truncatingIfNeeded: (mixed &* 0xC2B2_AE3D_27D4_EB4F) >> 40)
        }
    }

    private struct Entry {
        /// Where it stands in `names`.
        var name: Range<Int>
        var fingerprint: Fingerprint
        var answerer: Answerer
        var timeout: Nanoseconds
        /// The timeout is that of all methods that have none of their own.
        var hasStandardTimeout = true
        var isForEveryWorker = false
        /// The number of its figures; 0: it is counted among the others.
        var figures = 0
    }

    private enum Answerer {
        case supervisor(LocalMethod)
        case nobody
        case worker
    }

    /// Beginnings of names that are the supervisor's, so that no worker sees them.
    private static let reservedPrefixes: [StaticString] = [
        "supervisor.", "config.", "events.", "cache.", "embedding_cache.", "rpc.", "$/", "notifications/",
    ]
    /// The methods of the contract that workers answer, in the order of `Index`.
    private static let workersNames = ["embedding.create", "rag.execute", "rag.stream", "health.check"]

    private var entries: [Entry]
    /// The names of all entries, one behind the other.
    private var names: [UInt8] = []
    /// Where a name's entry is, by the hash of the name; 0: nowhere. At least twice as many as entries.
    private var places: [UInt32] = Array(repeating: 0, count: 128)
    /// The methods with figures of their own, by the numbers of the figures.
    private(set) var measuredNames = ["other"]
    /// How long a call may take that is answered in chunks, unless its method or its caller says otherwise.
    private(set) var streamTimeout: Nanoseconds = 0
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
        let nameless = Fingerprint(UnsafeRawBufferPointer(start: nil, count: 0))
        self.entries = [Entry(name: 0..<0, fingerprint: nameless, answerer: .worker, timeout: 0)]
        self.idempotent = [false]
        self.declaredIdempotent = configuration.pools.map { _ in [false] }
        self.cacheable = [false]
        self.declaredCacheable = self.declaredIdempotent
        for name in Self.workersNames + LocalMethod.allCases.map(\.rawValue) {
            let index = self.index(adding: name)
            if !name.hasPrefix("$/"), !name.hasPrefix("notifications/") { self.measure(index) }
        }
        for name in ["health.check", "metrics.get"] {
            self.entries[self.index(adding: name).value].isForEveryWorker = true
        }
        self.configure(configuration)
    }

    /// Takes the rules of a configuration. Indices that were given out stay what they are.
    mutating func configure(_ configuration: Configuration) {
        let timeouts = configuration.timeouts
        self.capacity = .max
        for index in self.entries.indices {
            self.entries[index].timeout = min(timeouts.standard, timeouts.max)
            self.entries[index].hasStandardTimeout = true
            self.idempotent[index] = false
            self.cacheable[index] = false
        }
        self.streamTimeout = min(timeouts.streamTotal, timeouts.max)
        self.entries[Index.ragStream.value].timeout = self.streamTimeout
        for (name, timeout) in timeouts.perMethod.sorted(by: { $0.key < $1.key }) {
            let index = self.index(adding: name).value
            self.entries[index].timeout = min(timeout, timeouts.max)
            self.entries[index].hasStandardTimeout = false
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
        self.entries.dropFirst().compactMap { entry in
            switch entry.answerer {
            case .nobody: nil
            case .supervisor(let method): method.rawValue.hasPrefix("$/") ? nil : method.rawValue
            case .worker: self.text(of: entry)
            }
        }
    }

    /// Where a call goes. O(length of the name), no allocation.
    func route(_ name: UnsafeRawBufferPointer) -> Route {
        let index = self.index(of: name)
        guard index == .other else {
            switch self.entries[index.value].answerer {
            case .supervisor(let method): return .local(method, index)
            case .nobody: return .reserved
            case .worker: return .worker(index)
            }
        }
        return Self.isReserved(name) ? .reserved : .worker(.other)
    }

    private static func isReserved(_ name: UnsafeRawBufferPointer) -> Bool {
        for prefix in Self.reservedPrefixes where name.starts(with: prefix.bytes) { return true }
        return false
    }

    private func text(of entry: Entry) -> String { String(decoding: self.names[entry.name], as: UTF8.self) }

    /// The index of a name; `other` when it has none.
    func index(of name: UnsafeRawBufferPointer) -> Index {
        Index(value: Int(self.places[self.place(of: name)]))
    }

    /// Where the index of a name is in `places`, or would be.
    private func place(of name: UnsafeRawBufferPointer) -> Int {
        // Whoever makes names collide has them all compared, at most as many as there are.
        let fingerprint = Fingerprint(name)
        var place = fingerprint.hash & (self.places.count - 1)
        while self.places[place] != 0, !self.isName(name, fingerprint, of: Int(self.places[place])) {
            place = (place + 1) & (self.places.count - 1)
        }
        return place
    }

    private func isName(
        _ name: UnsafeRawBufferPointer, _ fingerprint: Fingerprint, of entry: Int
    ) -> Bool {
        guard self.entries[entry].fingerprint == fingerprint else { return false }
        guard fingerprint.isAmbiguous else { return true }
        let range = self.entries[entry].name
        return self.names.withUnsafeBytes { UnsafeRawBufferPointer(rebasing: $0[range]).isEqual(to: name) }
    }

    /// How long a call of the method may take unless its caller says otherwise.
    func timeout(of method: Index) -> Nanoseconds { self.entries[method.value].timeout }

    /// Whether that is the time of all methods: of a call that turns out to be a stream it is another.
    func hasStandardTimeout(_ method: Index) -> Bool { self.entries[method.value].hasStandardTimeout }

    /// Whether every worker answers it, whatever methods its pool is for.
    func isForEveryWorker(_ method: Index) -> Bool { self.entries[method.value].isForEveryWorker }

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
            self.measure(index)
            if index != .other { indices.insert(index.value) }
        }
        return self.entries.indices.map { indices.contains($0) }
    }

    /// The index of a name, which gets one if it has none and there is room.
    private mutating func index(adding name: String) -> Index {
        let bytes = Array(name.utf8)
        let known = bytes.withUnsafeBytes { self.index(of: $0) }
        guard known == .other, !bytes.isEmpty, self.entries.count < self.capacity else { return known }
        self.names.append(contentsOf: bytes)
        self.entries.append(
            Entry(
                name: self.names.count - bytes.count..<self.names.count,
                fingerprint: bytes.withUnsafeBytes(Fingerprint.init), answerer: Self.answerer(of: name),
                timeout: self.entries[0].timeout))
        self.idempotent.append(false)
        self.cacheable.append(false)
        for pool in self.declaredIdempotent.indices {
            self.declaredIdempotent[pool].append(false)
            self.declaredCacheable[pool].append(false)
        }
        self.enter(self.entries.count - 1)
        return Index(value: self.entries.count - 1)
    }

    private static func answerer(of name: String) -> Answerer {
        if let method = LocalMethod(rawValue: name) { return .supervisor(method) }
        let isReserved = Array(name.utf8).withUnsafeBytes(Self.isReserved)
        return isReserved ? .nobody : .worker
    }

    /// Makes the newest entry known by its name.
    private mutating func enter(_ newest: Int) {
        if self.entries.count * 2 > self.places.count {
            self.places = Array(repeating: 0, count: self.places.count * 2)
            for entry in 1..<newest { self.enter(entry) }
        }
        let name = self.entries[newest].name
        let place = self.names.withUnsafeBytes { self.place(of: UnsafeRawBufferPointer(rebasing: $0[name])) }
        self.places[place] = UInt32(newest)
    }
}

// MARK: - Figures

extension MethodTable {
    /// The number under which a method's calls are counted.
    func figures(of method: Index) -> Int { self.entries[method.value].figures }

    /// A worker declared these methods. Patterns are no names of methods.
    mutating func declareMethods(_ names: [String]) {
        for name in names.prefix(Self.declaredNames) where !name.contains("*") {
            self.measure(self.index(adding: name))
        }
    }

    /// A worker answered a method that nobody declared: from now on it has figures of its own, if there is room. It
    /// takes no place from those that may be declared.
    mutating func noteAnswered(_ name: UnsafeRawBufferPointer) {
        guard self.measuredNames.count <= CallHistory.methods, !Self.isReserved(name) else { return }
        self.capacity += 1
        self.measure(self.index(adding: String(decoding: name, as: UTF8.self)))
    }

    private mutating func measure(_ method: Index) {
        guard method != .other, self.entries[method.value].figures == 0,
            self.measuredNames.count <= CallHistory.methods
        else { return }
        self.entries[method.value].figures = self.measuredNames.count
        self.measuredNames.append(self.text(of: self.entries[method.value]))
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
