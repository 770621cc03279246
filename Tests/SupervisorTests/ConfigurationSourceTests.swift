import Protocol
import Testing

@testable import Supervisor

/// How a partial configuration is merged into the present one (protocol §3).
@Suite struct ConfigurationSourceTests {
    private static func source(_ text: String) throws -> ConfigurationSource {
        var source = ConfigurationSource(file: "f")
        source.document = try #require(JSON5Reader.read(Array(text.utf8)).value)
        return source
    }

    private static func change(_ text: String) throws -> JSON5Value {
        JSON5Value(try JSONValue(parsing: text))
    }

    private static func updated(_ file: String, _ changes: String...) throws -> Configuration {
        var source = try self.source(file)
        for change in changes { source = source.updated(by: try self.change(change)) }
        return try source.resolve().configuration
    }

    private static func faults(_ file: String, _ change: String) throws -> [String] {
        let source = try self.source(file).updated(by: try self.change(change))
        return source.judge().errors.map(\.description)
    }

    @Test func mergesObjectsAndKeepsTheRest() throws {
        let configuration = try Self.updated(
            "{health: {interval: '3s', timeout: '2s'}, retry: {max_attempts: 4}}",
            #"{"health":{"timeout":"1s"},"cache":{"response_cache_size":5}}"#)
        #expect(configuration.health.interval == .seconds(3))
        #expect(configuration.health.timeout == .seconds(1))
        #expect(configuration.retry.maxAttempts == 4)
        #expect(configuration.cache.responseCacheSize == 5)
    }

    @Test func takesTheDefaultForNull() throws {
        let file = "{health: {interval: '3s', timeout: '2s'}, timeouts: {per_method: {a: '1s', b: '2s'}}}"
        #expect(try Self.updated(file, #"{"health":{"timeout":null}}"#).health.interval == .seconds(3))
        #expect(try Self.updated(file, #"{"health":{"timeout":null}}"#).health.timeout == .seconds(5))
        #expect(try Self.updated(file, #"{"health":null}"#).health == Configuration.Health())
        let timeouts = try Self.updated(file, #"{"timeouts":{"per_method":{"a":null,"c":null}}}"#).timeouts
        #expect(timeouts.perMethod == ["b": .seconds(2)])
        let again = try Self.updated(file, #"{"health":null}"#, #"{"health":{"timeout":"4s"}}"#).health
        #expect(again.interval == .seconds(10) && again.timeout == .seconds(4))
    }

    @Test func replacesArrays() throws {
        let configuration = try Self.updated(
            "{operators: [1, 2], pools: [{command: ['a', 'b']}]}",
            #"{"operators":[3],"pools":[{"command":["c"]}]}"#)
        #expect(configuration.operators == [3])
        #expect(configuration.pools.map(\.command) == [["c"]])
    }

    @Test func mergesPoolsByName() throws {
        let file = "{pools: [{name: 'a', max_concurrency: 1, env: {X: '1'}}, {min_workers: 3}]}"
        let pools = try Self.updated(
            file,
            #"{"pools":[{"max_concurrency":7},{"name":"a","env":{"Y":"2"}},{"name":"new","min_workers":1}]}"#
        ).pools
        #expect(pools.map(\.name) == ["a", "default", "new"])
        #expect(pools.map(\.maxConcurrency) == [1, 7, nil])
        #expect(pools.map(\.minWorkers) == [2, 3, 1])
        #expect(pools[0].environment == ["X": "1", "Y": "2"])
        #expect(try Self.updated(file, #"{"pools":[]}"#) == Self.updated(file), "nobody is named")
    }

    @Test(arguments: ["{}", "{pools: null}"]) func mergesTheDefaultPoolThatNoFileNames(file: String) throws {
        let alone = try Self.updated(file, #"{"pools":[{"min_workers":5}]}"#).pools
        #expect(alone.map(\.name) == ["default"] && alone[0].maxWorkers == 5)
        let two = try Self.updated(file, #"{"pools":[{"name":"b"}]}"#).pools
        #expect(two.map(\.name) == ["default", "b"])
        #expect(try Self.updated(file, #"{"pools":null}"#).pools == Configuration().pools)
    }

    @Test func aValueThatFollowsAnotherGoesOnFollowingIt() throws {
        let pools = try Self.updated("{pools: [{min_workers: 1}]}", #"{"pools":[{"min_workers":4}]}"#).pools
        #expect(pools[0].maxWorkers == 4)
    }

    @Test func flagsStandAboveUpdates() throws {
        var source = try Self.source("{load_balancer: {strategy: 'round_robin'}}")
        source.overrides = ConfigurationOverrides(
            arguments: try CommandSyntax.serve.parse(["--strategy", "least_load"]),
            environment: ["EMBEDDING_CACHE_SIZE": "7"])
        source = source.updated(
            by: try Self.change(
                #"{"load_balancer":{"strategy":"performance_based"},"cache":{"embedding_cache_size":9}}"#))
        let configuration = try source.resolve().configuration
        #expect(configuration.loadBalancer.strategy == .leastLoad)
        #expect(configuration.cache.embeddingCacheSize == 7)
    }

    @Test(arguments: [
        (#"{"helth":{}}"#, ["helth: unknown key; did you mean health?"]),
        (#"{"nothing":null}"#, ["nothing: unknown key"]),
        (#"{"health":{"interval":"5s","interval":"6s"}}"#, ["health.interval: the key stands twice"]),
        (#"{"retry":{"max_attempts":1,"max_attempts":1}}"#, ["retry.max_attempts: the key stands twice"]),
        (#"{"pools":{}}"#, ["pools: expected an array, found an object"]),
        (#"{"pools":[5]}"#, ["pools[2]: expected an object, found the number 5"]),
        (#"{"pools":[{"name":"b"},{"name":"b"}]}"#, ["pools[2].name: there is another pool named b"]),
        (
            #"{"pools":[{"name":7}]}"#,
            [
                "pools[2].name: expected 1 to 64 letters, digits, '_', '-' and '.', found the number 7",
                "pools[2].name: there is another pool named default",
            ]
        ),
        (
            #"{"pools":[{"name":"b","min_workers":9}]}"#,
            ["f:1:39: pools[1].max_workers: expected at least min_workers, which is 9"]
        ),
        (
            #"{"retry":{"jitter":0},"health":{"interval":5},"pools":[{"name":"b","command":[]}]}"#,
            [
                "pools[1].command: expected an array that is not empty, found an empty one",
                "health.interval: expected a duration such as \"250ms\", \"5s\", \"10m\" or \"24h\", "
                    + "from 1ms to 8760h, found the number 5",
                "retry.jitter: unknown key",
            ]
        ),
    ]) func namesAllThatIsWrongByThePathsOfTheWhole(change: String, errors: [String]) throws {
        #expect(try Self.faults("{pools: [{}, {name: 'b', max_workers: 4}]}", change) == errors)
    }

    @Test func countsWhatIsTooMuchToBeNamed() throws {
        let members = (0..<3000).map { "\"k\($0)\":1" }.joined(separator: ",")
        let faults = try Self.faults("{}", "{\(members)}")
        #expect(faults.count == 101 && faults.contains { $0.hasSuffix("2900 more keys are unknown") })
        let doubled = Array(repeating: "\"health\":null", count: 300).joined(separator: ",")
        #expect(try Self.faults("{}", "{\(doubled)}").contains { $0.hasSuffix("199 more keys stand twice") })
        let pools = Array(repeating: "{}", count: 5000).joined(separator: ",")
        #expect(
            try Self.faults("{}", "{\"pools\":[\(pools)]}").contains(
                "pools: expected 1 to 64 pools, found 5000"))
    }
}

/// What a configuration says of itself.
@Suite struct ConfigurationDocumentTests {
    private static func everything() throws -> Configuration {
        let (configuration, errors) = ConfigurationTests.load(ConfigurationTests.everyKey)
        try #require(errors == [])
        return configuration
    }

    @Test func readsBackAsTheSame() throws {
        for configuration in [Configuration(), try Self.everything()] {
            let (again, errors) = ConfigurationTests.load(configuration.document.text)
            #expect(errors == [])
            #expect(again == configuration)
        }
    }

    @Test func namesEveryKeyThatMayBeWritten() throws {
        let document = try Self.everything().document
        let tree = try #require(JSON5Reader.read(Array(ConfigurationTests.everyKey.utf8)).value)
        func compare(_ written: JSONValue, _ described: JSONValue?, _ path: String) {
            for member in written.objectValue ?? [] {
                let value = described?[member.name]
                #expect(value != nil, "\(path).\(member.name)")
                compare(member.value, value, "\(path).\(member.name)")
            }
        }
        compare(JSONValue(tree), document, "")
        let pool = try #require(document["pools"]?.arrayValue?.first)
        #expect(pool["env"] == ["A": "1", "B": ""])
        #expect(document["socket"]?["mode"] == "0660")
        #expect(Configuration().document["recycle"]?["max_age"] == "off")
    }

    @Test func changesAreNamedByTheirPaths() throws {
        let old = Configuration()
        #expect(old.changes(to: old) == [])
        var new = old
        new.cache.responseCacheTTL = .seconds(1)
        new.pools[0].maxConcurrency = 4
        new.pools[0].environment = ["A": "x"]
        new.timeouts.perMethod = ["rag.execute": .seconds(1)]
        new.controlSocket = .init(path: "/c")
        new.operators = [5]
        let paths = [
            "control_socket", "operators", "pools[0].env.A", "pools[0].max_concurrency",
            "timeouts.per_method[\"rag.execute\"]", "cache.response_cache_ttl",
        ]
        #expect(old.changes(to: new) == paths)
        #expect(new.changes(to: old) == paths)
    }

    @Test func otherPoolsAreNamedAsAWhole() {
        var old = Configuration()
        old.pools = [.init(name: "a"), .init(name: "b")]
        var new = old
        new.pools = [.init(name: "b", minWorkers: 1), .init(name: "c")]
        #expect(old.changes(to: new) == ["pools[1].min_workers", "pools"])
        #expect(old.adopting(new, connections: 5).pools.map(\.minWorkers) == [2, 1])
        #expect(old.adopting(new, connections: 5).pools.map(\.name) == ["a", "b"])
    }
}
