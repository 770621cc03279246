import Protocol
import Testing

@testable import Supervisor

@Suite struct ConfigurationTests {
    static func load(_ text: String) -> (configuration: Configuration, errors: [String]) {
        let (configuration, errors) = ConfigurationLoader.load("f") { _ in .success(Array(text.utf8)) }
        return (configuration, errors.map(\.description))
    }

    @Test func hasTheDefaultsOfTheContract() {
        let (configuration, errors) = Self.load("{}")
        #expect(errors == [])
        #expect(configuration == Configuration())
        #expect(configuration.pools == [Configuration.Pool(name: "default")])
        #expect(configuration.pools[0].command == ["worker"])
        #expect(configuration.pools[0].prepare == [])
        #expect(configuration.timeouts.standard == .seconds(60))
        #expect(configuration.limits.messages.messageBytes == 10 << 20)
    }

    /// Each key of protocol §8 with another value than its default.
    static let everyKey = """
        {
          socket: {path: '/s', mode: '0660', group: 'rag'}, control_socket: {path: '/c', mode: '600', group: 7},
          operators: [1000, 0],
          pools: [
            {name: 'a', command: ['python3', '-u', ''], prepare: ['make'], directory: 'd', env: {A: '1', B: ''},
             inherit_env: ['PATH'], project_root: 'r', min_workers: 3, max_workers: 5, methods: ['rag.*'],
             techniques: ['bm25'], max_concurrency: 4, start_timeout: '5s', max_memory: '1GiB',
             rlimits: {nofile: 100, as: '4GiB', core: 0}},
            {},
          ],
          load_balancer: {strategy: 'least_connections', technique_routing: {bm25: 'a', x: 'default'}, queue_size: 9,
                          queue_timeout: 0},
          timeouts: {default: '1s', per_method: {'rag.execute': '2s'}, max: '3s', control: '4s', control_wait: '5s',
                     stream_idle: '6s', stream_total: '7s', cancel_grace: '0s', term_grace: '8s', shutdown_grace: '9s'},
          health: {interval: '1s', timeout: '2s', unhealthy_threshold: 4, noise_lines: 5, noise_bytes: '6KiB'},
          restart: {backoff_initial: '1s', backoff_max: '2s', jitter: 0, max_deaths: 1000, window: '1h'},
          recycle: {max_requests: 10, max_age: '1h', max_rss: '1GiB', jitter: 1},
          retry: {max_attempts: 3, budget_ratio: 0.5, budget_min: 4, methods: ['x']},
          scaling: {up_after: '1s', down_after: '2s'},
          cache: {response_cache_size: 1, response_cache_bytes: 2, response_cache_ttl: '3s', embedding_cache_size: 4,
                  embedding_cache_bytes: 5, embedding_cache_ttl: '6s', embedding_cache_file: 'e',
                  cacheable_methods: ['m'], shared_models: ['n'], stale_while_revalidate: '7s', stale_if_error: '8s'},
          limits: {message_bytes: '1MiB', depth: 32, batch_calls: 10, id_bytes: 64, method_bytes: 64,
                   metadata_text_characters: 64, header_line_bytes: '1KiB', connections: 10, in_flight_per_connection: 5,
                   bytes_per_connection: '2MiB', bytes_in_all: '4MiB', write_stall: '1s'},
          logging: {level: 'debug', format: 'json', file: 'l', rotate_bytes: '1MiB', keep: 1,
                    slow_request: '2s'},
        }
        """

    private static var everyKeysPool: Configuration.Pool {
        var pool = Configuration.Pool(name: "a")
        pool.command = ["python3", "-u", ""]
        pool.prepare = ["make"]
        pool.directory = "d"
        pool.environment = ["A": "1", "B": ""]
        pool.inheritEnvironment = ["PATH"]
        pool.projectRoot = "r"
        (pool.minWorkers, pool.maxWorkers) = (3, 5)
        pool.methods = ["rag.*"]
        pool.techniques = ["bm25"]
        pool.maxConcurrency = 4
        pool.startTimeout = .seconds(5)
        pool.maxMemory = 1 << 30
        pool.resourceLimits = [
            .init(kind: .addressSpace, value: 4 << 30), .init(kind: .core, value: 0),
            .init(kind: .nofile, value: 100),
        ]
        return pool
    }

    private static var everyKeysLimits: Configuration.Limits {
        var limits = Configuration.Limits()
        limits.messages.messageBytes = 1 << 20
        limits.messages.depth = 32
        limits.messages.batchCount = 10
        limits.messages.idBytes = 64
        limits.messages.methodBytes = 64
        limits.messages.metadataTextCharacters = 64
        limits.messages.headerLineBytes = 1024
        limits.connections = 10
        limits.inFlightPerConnection = 5
        limits.bytesPerConnection = 2 << 20
        limits.bytesInAll = 4 << 20
        limits.writeStall = .seconds(1)
        return limits
    }

    @Test func readsEveryKey() {
        let (read, errors) = Self.load(Self.everyKey)
        #expect(errors == [])
        var expected = Configuration()
        expected.socket = .init(path: "/s", mode: 0o660, group: "rag")
        expected.controlSocket = .init(path: "/c", mode: 0o600, group: "7")
        expected.operators = [1000, 0]
        expected.pools = [Self.everyKeysPool, Configuration.Pool(name: "default")]
        expected.loadBalancer = .init(
            strategy: .leastLoad, techniqueRouting: ["bm25": "a", "x": "default"], queueSize: 9,
            queueTimeout: 0)
        expected.timeouts = .init(
            standard: .seconds(1), perMethod: ["rag.execute": .seconds(2)], max: .seconds(3),
            control: .seconds(4),
            controlWait: .seconds(5), streamIdle: .seconds(6), streamTotal: .seconds(7), cancelGrace: 0,
            termGrace: .seconds(8), shutdownGrace: .seconds(9))
        expected.health = .init(
            interval: .seconds(1), timeout: .seconds(2), unhealthyThreshold: 4, noiseLines: 5,
            noiseBytes: 6 << 10)
        expected.restart = .init(
            backoffInitial: .seconds(1), backoffMax: .seconds(2), jitter: 0, maxDeaths: 1000,
            window: .seconds(3600))
        expected.recycle = .init(maxRequests: 10, maxAge: .seconds(3600), maxRSS: 1 << 30, jitter: 1)
        expected.retry = .init(maxAttempts: 3, budgetRatio: 0.5, budgetMin: 4, methods: ["x"])
        expected.scaling = .init(upAfter: .seconds(1), downAfter: .seconds(2))
        expected.cache = .init(
            responseCacheSize: 1, responseCacheBytes: 2, responseCacheTTL: .seconds(3), embeddingCacheSize: 4,
            embeddingCacheBytes: 5, embeddingCacheTTL: .seconds(6), embeddingCacheFile: "e",
            cacheableMethods: ["m"],
            sharedModels: ["n"], staleWhileRevalidate: .seconds(7), staleIfError: .seconds(8))
        expected.limits = Self.everyKeysLimits
        expected.logging = .init(
            level: .debug, format: .json, file: "l", rotateBytes: 1 << 20, keep: 1, slowRequest: .seconds(2))
        #expect(read == expected)
    }

    @Test(arguments: [
        ("{pools: [{min_workers: 4}]}", 4, 4), ("{pools: [{max_workers: 4}]}", 2, 4),
        ("{pools: [{max_workers: 1}]}", 1, 1),
        ("{pools: [{min_workers: 1, max_workers: 9}]}", 1, 9), ("{pools: [{}]}", 2, 2), ("{}", 2, 2),
    ])
    func completesTheNumberOfWorkers(text: String, min: Int, max: Int) {
        let (configuration, errors) = Self.load(text)
        #expect(errors == [])
        #expect(configuration.pools[0].minWorkers == min)
        #expect(configuration.pools[0].maxWorkers == max)
    }

    @Test func movesTheDefaultOfOneBackoffForTheOther() {
        #expect(
            Self.load("{restart: {backoff_max: '50ms'}}").configuration.restart.backoffInitial
                == .milliseconds(50))
        #expect(
            Self.load("{restart: {backoff_initial: '60s'}}").configuration.restart.backoffMax == .seconds(60))
    }

    @Test(arguments: [
        ("{pools: [{min_worker: 4}]}", "f:1:11: pools[0].min_worker: unknown key; did you mean min_workers?"),
        ("{timeout: {}}", "f:1:2: timeout: unknown key; did you mean timeouts?"),
        ("{pools: []}", "f:1:9: pools: expected 1 to 64 pools, found 0"),
        ("{pools: {}}", "f:1:9: pools: expected an array, found an object"),
        ("{pools: [5]}", "f:1:10: pools[0]: expected an object, found the number 5"),
        (
            "{pools: [{min_workers: 4, max_workers: 2}]}",
            "f:1:40: pools[0].max_workers: expected at least min_workers, which is 4"
        ),
        (
            "{pools: [{min_workers: 1000000000}]}",
            "f:1:24: pools[0].min_workers: expected a whole number from 1 to 1024, found the number 1000000000"
        ),
        (
            "{pools: [{min_workers: 0}]}",
            "f:1:24: pools[0].min_workers: expected a whole number from 1 to 1024, found the number 0"
        ),
        (
            "{pools: [{min_workers: -1}]}",
            "f:1:24: pools[0].min_workers: expected a whole number from 1 to 1024, found the number -1"
        ),
        (
            "{pools: [{command: []}]}",
            "f:1:20: pools[0].command: expected an array that is not empty, found an empty one"
        ),
        ("{pools: [{command: ['', 'x']}]}", "f:1:20: pools[0].command[0]: expected the name of a program"),
        (
            "{pools: [{command: 'worker'}]}",
            "f:1:20: pools[0].command: expected an array that is not empty, found the string \"worker\""
        ),
        ("{pools: [{name: 'a'}, {name: 'a'}]}", "f:1:30: pools[1].name: there is another pool named a"),
        ("{pools: [{}, {}]}", "f:1:14: pools[1].name: there is another pool named default"),
        (
            "{pools: [{name: 'a b'}]}",
            "f:1:17: pools[0].name: expected 1 to 64 letters, digits, '_', '-' and '.', found the string \"a b\""
        ),
        (
            "{pools: [{env: {'A=B': 'x'}}]}",
            "f:1:17: pools[0].env[\"A=B\"]: expected the name of an environment variable, found a string"
        ),
        (
            "{pools: [{rlimits: {nofiles: 5}}]}",
            "f:1:21: pools[0].rlimits.nofiles: unknown key; did you mean nofile?"
        ),
        (
            "{pools: [{name: 'search'}], load_balancer: {technique_routing: {bm25: 'serach'}}}",
            "f:1:71: load_balancer.technique_routing.bm25: expected the name of a pool, found the string \"serach\"; did you mean search?"
        ),
        (
            "{load_balancer: {strategy: 'round-robin'}}",
            "f:1:28: load_balancer.strategy: expected one of round_robin, least_load, performance_based, found the string \"round-robin\"; did you mean round_robin?"
        ),
        (
            "{health: {interval: '0s'}}",
            "f:1:21: health.interval: expected a duration such as \"250ms\", \"5s\", \"10m\" or \"24h\", from 1ms to 8760h, found the string \"0s\""
        ),
        (
            "{restart: {jitter: 1.1}}",
            "f:1:20: restart.jitter: expected a number from 0 to 1, found the number 1.1"
        ),
        (
            "{restart: {jitter: -0.1}}",
            "f:1:20: restart.jitter: expected a number from 0 to 1, found the number -0.1"
        ),
        (
            "{restart: {backoff_initial: '5s', backoff_max: '1s'}}",
            "f:1:48: restart.backoff_max: expected at least backoff_initial, which is 5s"
        ),
        (
            "{socket: {mode: 600}}",
            "f:1:17: socket.mode: expected permission bits in octal, such as \"0660\", found the number 600"
        ),
        (
            "{socket: {mode: '0999'}}",
            "f:1:17: socket.mode: expected permission bits in octal, such as \"0660\", found the string \"0999\""
        ),
        ("{control_socket: {}}", "f:1:18: control_socket.path: expected a path"),
        (
            "{operators: ['root']}",
            "f:1:14: operators[0]: expected a whole number from 0 to 4294967294, found the string \"root\""
        ),
        (
            "{limits: {depth: 65}}",
            "f:1:18: limits.depth: expected a whole number from 2 to 64, found the number 65"
        ),
        (
            "{health: {interval: '1s',\n interval: '2s'}}",
            "f:2:2: health.interval: the key stands twice (first in line 1)"
        ),
        ("[]", "f:1:1: expected an object, found an array"),
        ("{pools: [{name: 'a',}", "f:1:22: expected ',' or ']', found the end of the file"),
        ("", "f:1:1: expected a value, found the end of the file"),
    ])
    func refusesWithPlacePathAndExpectation(text: String, error: String) {
        #expect(Self.load(text).errors == [error])
    }

    @Test func refusesASocketPathThatTheKernelCannotHold() {
        let fits = "/" + String(repeating: "x", count: 106)
        #expect(Self.load("{socket: {path: '\(fits)'}}").errors == [])
        #expect(Self.load("{socket: {path: '\(fits)x'}}").errors.count == 1)
    }

    @Test func reportsEverythingAtOnceInTheOrderOfTheFile() {
        let (_, errors) = Self.load(
            """
            {
              logging: {level: 'loud'},
              health: {intervall: '5s'},
              pools: [{max_memory: '10MB', command: [5]}],
              x: 1,
            }
            """)
        #expect(errors.map { $0.split(separator: ":")[1] } == ["2", "3", "4", "4", "5"])
    }

    @Test func namesAFileThatCannotBeRead() {
        func fault(_ path: String) -> [String] { ConfigurationLoader.load(path).errors.map(\.description) }
        #expect(fault("/nowhere/a.json5") == ["/nowhere/a.json5: cannot be read: No such file or directory"])
        #expect(fault("/tmp") == ["/tmp: cannot be read: Is a directory"])
        #expect(fault("/dev/zero") == ["/dev/zero: cannot be read: larger than 4MiB"])
    }

    @Test func acceptsTheFileThatOperatorsCopy() {
        let path = SourceTree.path("config/supervisor.json5")
        let (configuration, errors) = ConfigurationLoader.load(path)
        #expect(errors == [])
        #expect(configuration.pools.count == 1)
        #expect(configuration.pools[0].minWorkers == 2)
        #expect(configuration.pools[0].command == ["worker", "--index", ".supervisor/index"])
    }

    /// What is commented out in it must be true: with the comments' keys set, nothing changes.
    @Test func showsTheDefaultsInTheFileThatOperatorsCopy() throws {
        let path = SourceTree.path("config/supervisor.json5")
        let text = String(decoding: try ConfigurationLoader.readFile(path).get(), as: UTF8.self)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let examples = [
            "path:", "group:", "directory:", "env:", "inherit_env:", "techniques:", "max_concurrency:",
            "rlimits:",
            "technique_routing:", "per_method:", "embedding_cache_file:", "format:", "file:",
        ]
        var keys = 0
        let uncommented = lines.map { line -> String in
            let trimmed = line.drop { $0 == " " }
            guard trimmed.hasPrefix("// "), line.hasPrefix("  ") else { return line }
            let content = trimmed.dropFirst(3)
            guard content.prefix(while: { $0.isLowercase || $0 == "_" }).count > 1,
                content.drop(while: { $0.isLowercase || $0 == "_" }).hasPrefix(":"),
                !examples.contains(where: { content.hasPrefix($0) }), !content.hasPrefix("control_socket")
            else { return line }
            keys += 1
            return String(content)
        }
        #expect(keys > 25)
        let (configuration, errors) = Self.load(uncommented.joined(separator: "\n"))
        #expect(errors == [])
        var expected = Self.load(text).configuration
        #expect(configuration == expected)
        expected.pools = Configuration().pools
        #expect(expected == Configuration())
    }
}
