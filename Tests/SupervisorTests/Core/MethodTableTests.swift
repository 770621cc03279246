import Protocol
import Testing

@testable import Supervisor

@Suite struct MethodTableTests {
    private static func route(_ table: MethodTable, _ name: String) -> MethodTable.Route {
        Array(name.utf8).withUnsafeBytes { table.route($0) }
    }

    private static func index(_ table: MethodTable, _ name: String) -> MethodTable.Index {
        guard case .worker(let index) = Self.route(table, name) else { return .other }
        return index
    }

    @Test(arguments: MethodTable.LocalMethod.allCases)
    func answersItsOwnMethods(method: MethodTable.LocalMethod) {
        guard case .local(method, _) = Self.route(MethodTable(Configuration()), method.rawValue) else {
            Issue.record("\(method) is not the supervisor's")
            return
        }
    }

    @Test(arguments: [
        "supervisor.statusx", "supervisor.", "config.updat", "events.subscribed", "cache.clearx",
        "embedding_cache.put", "rpc.discovery", "$/x", "notifications/x",
    ]) func keepsReservedNames(name: String) {
        #expect(Self.route(MethodTable(Configuration()), name) == .reserved)
    }

    @Test(arguments: ["job.run", "pings", "supervisor", "cache", "Config.x", "", "*"])
    func passesOtherNamesOn(name: String) {
        #expect(Self.route(MethodTable(Configuration()), name) == .worker(.other))
    }

    @Test func knowsTimeoutsByMethodUpToTheMaximum() {
        var configuration = Configuration()
        configuration.timeouts.perMethod = ["slow": .seconds(90_000), "quick": .milliseconds(5)]
        let table = MethodTable(configuration)
        #expect(table.timeout(of: Self.index(table, "slow")) == .seconds(600))
        #expect(table.timeout(of: Self.index(table, "quick")) == .milliseconds(5))
        #expect(table.timeout(of: .other) == .seconds(60))
    }

    @Test func hasRoomForEveryConfiguredTimeout() {
        var configuration = Configuration()
        for index in 0..<300 { configuration.timeouts.perMethod["m\(index)"] = .seconds(1) }
        let table = MethodTable(configuration)
        #expect(table.timeout(of: Self.index(table, "m299")) == .seconds(1))
        #expect(table.timeout(of: .other) == .seconds(60))
        #expect(table.isIdempotent(Self.index(table, "rag.execute"), in: 0))
        #expect(!table.isIdempotent(.other, in: 0))
    }

    /// More than 16 bits can count.
    @Test func hasRoomForAnyNumberOfNames() {
        var configuration = Configuration()
        for index in 0..<66_000 {
            configuration.timeouts.perMethod["m\(index)"] = .milliseconds(Int64(1 + index))
        }
        let table = MethodTable(configuration)
        for index in stride(from: 0, to: 66_000, by: 999) {
            #expect(table.timeout(of: Self.index(table, "m\(index)")) == .milliseconds(Int64(1 + index)))
        }
        #expect(table.timeout(of: .other) == .seconds(60))
    }

    @Test func takesWhatAPoolDeclaresLast() {
        var configuration = Configuration()
        configuration.pools.append(Configuration.Pool(name: "b"))
        var table = MethodTable(configuration)
        table.declareIdempotent(["a", "b"], in: 1)
        #expect(table.isIdempotent(Self.index(table, "a"), in: 1))
        #expect(!table.isIdempotent(Self.index(table, "a"), in: 0))
        table.declareIdempotent(["b"], in: 1)
        #expect(!table.isIdempotent(Self.index(table, "a"), in: 1))
        #expect(table.isIdempotent(Self.index(table, "b"), in: 1))
        #expect(table.isIdempotent(Self.index(table, "rag.execute"), in: 0))
    }

    @Test func doesNotTakeUnknownMethodsForDeclaredOnes() {
        var table = MethodTable(Configuration())
        table.declareIdempotent((0..<500).map { "a\($0)" }, in: 0)
        table.declareIdempotent((0..<500).map { "b\($0)" }, in: 0)
        #expect(!table.isIdempotent(.other, in: 0))
    }
}

@Suite struct MeasuredMethodTests {
    private static func name(_ table: MethodTable, _ method: String) -> String {
        Array(method.utf8).withUnsafeBytes { table.measuredNames[table.figures(of: table.index(of: $0))] }
    }

    private static func answer(_ table: inout MethodTable, _ name: String) {
        Array(name.utf8).withUnsafeBytes { table.noteAnswered($0) }
    }

    @Test(arguments: [
        "ping", "supervisor.status", "rag.execute", "rag.stream", "embedding.create", "health.check",
        "metrics.get", "cache.clear", "pipeline.list",
    ]) func includeThoseOfTheContract(name: String) {
        #expect(Self.name(MethodTable(Configuration()), name) == name)
    }

    @Test(arguments: ["job.run", "$/cancelRequest", "notifications/cancelled", "config.nonsense", ""])
    func areNotNamesThatNobodyKnows(name: String) {
        var configuration = Configuration()
        configuration.timeouts.perMethod = ["job.run": .seconds(1)]
        #expect(Self.name(MethodTable(configuration), name) == "other")
    }

    @Test func includeWhatWorkersDeclareButNoPatterns() {
        var table = MethodTable(Configuration())
        table.declareMethods(["job.run", "job.*", "config.sneaked"])
        table.declareIdempotent(["job.look"], in: 0)
        #expect(Self.name(table, "job.run") == "job.run")
        #expect(Self.name(table, "job.look") == "job.look")
        #expect(Self.name(table, "job.*") == "other")
        let route = Array("config.sneaked".utf8).withUnsafeBytes { table.route($0) }
        #expect(route == .reserved)
    }

    @Test func areAtMostTwoHundredAndKeepTheirNumbers() {
        var table = MethodTable(Configuration())
        table.declareMethods((0..<100).map { "declared.\($0)" })
        for number in 0..<1000 { Self.answer(&table, "answered.\(number)") }
        #expect(table.measuredNames.count == 201)
        #expect(Set(table.measuredNames).count == 201)
        #expect(Self.name(table, "declared.99") == "declared.99")
        #expect(Self.name(table, "answered.0") == "answered.0")
        #expect(Self.name(table, "answered.999") == "other")
        #expect(Self.name(table, "rag.execute") == "rag.execute")
    }

    /// Answers of workers must not use up the places of what may be declared idempotent later.
    @Test func takeNoPlaceFromDeclaredNames() {
        var table = MethodTable(Configuration())
        for number in 0..<1000 { Self.answer(&table, "answered.\(number)") }
        table.declareIdempotent((0..<200).map { "declared.\($0)" }, in: 0)
        let last = Array("declared.199".utf8).withUnsafeBytes { table.index(of: $0) }
        #expect(table.isIdempotent(last, in: 0))
    }
}

@Suite struct GlobTests {
    /// By definition: a star is any run.
    private static func naive(_ pattern: Substring, _ text: Substring) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" {
            return self.naive(pattern.dropFirst(), text)
                || (!text.isEmpty && self.naive(pattern, text.dropFirst()))
        }
        return text.first == first && self.naive(pattern.dropFirst(), text.dropFirst())
    }

    @Test func agreesWithTheDefinition() {
        var random = SeededGenerator(seed: 3)
        func make(_ letters: [Character]) -> String {
            String(
                (0..<Int.random(in: 0...7, using: &random)).compactMap { _ in
                    letters.randomElement(using: &random)
                })
        }
        for _ in 0..<20_000 {
            let (pattern, text) = (make(["a", "b", ".", "*"]), make(["a", "b", "."]))
            let matches = Array(text.utf8).withUnsafeBytes { Glob(pattern).matches($0) }
            #expect(matches == Self.naive(pattern[...], text[...]), "\(pattern) \(text)")
        }
    }
}

@Suite struct CapabilitiesTests {
    @Test func takesValuesOfTheWrongTypeForNotDeclared() {
        let wrong: JSONValue = [
            "methods": "x", "techniques": 1, "max_concurrency": "4", "cacheable": ["a": 1],
            "idempotent": true,
            "streaming": "yes", "cancel": 1, "cache_epoch": 5, "embedding_model": [],
        ]
        #expect(Capabilities(wrong) == Capabilities())
        #expect(Capabilities([1, 2]) == Capabilities())
        #expect(Capabilities(.null) == Capabilities())
    }

    @Test(arguments: [(JSONValue.integer(0), nil), (-3, nil), (2.5, nil), (3, 3), (1e9, 4096), (4.0, 4)])
    func believesAConcurrencyOnlyInReason(value: JSONValue, expected: Int?) {
        #expect(Capabilities(["max_concurrency": value]).maxConcurrency == expected)
    }

    @Test func changesOnlyWhatIsNamed() {
        var capabilities = Capabilities(["techniques": ["a"], "cancel": true, "cache_epoch": "1"])
        capabilities.update(with: ["cache_epoch": "2", "techniques": 7])
        #expect(capabilities == Capabilities(["techniques": ["a"], "cancel": true, "cache_epoch": "2"]))
    }

    @Test func judgesTheStatus() {
        #expect(HealthReport(result: ["status": "healthy"]) == .able(nil))
        #expect(HealthReport(result: ["status": "degraded", "capabilities": [:]]) == .able(Capabilities()))
        #expect(HealthReport(result: ["status": "unhealthy", "capabilities": [:]]) == .unhealthy)
        for result: JSONValue in [["status": "HEALTHY"], ["status": 1], [:], "healthy", .null, [1]] {
            #expect(HealthReport(result: result) == nil)
        }
    }
}
