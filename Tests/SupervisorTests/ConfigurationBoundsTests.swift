import Protocol
import Testing

@testable import Supervisor

/// Absurd values are refused, each with its path: every key of protocol §8 has bounds.
@Suite struct ConfigurationBoundsTests {
    /// A key, and values of the right type that are out of its bounds.
    struct Key: CustomTestStringConvertible {
        var path: String
        var absurd: [String]
        var testDescription: String { self.path }

        init(_ path: String, _ absurd: [String]) { (self.path, self.absurd) = (path, absurd) }

        /// From a millisecond (or zero) to a year.
        static func duration(_ path: String, orZero: Bool = false) -> Key {
            Key(
                path,
                ["'-1s'", "'8761h'", "'99999999999999999999h'", "'1us'", "1"] + (orZero ? [] : ["'0s'", "0"]))
        }

        static func integer(_ path: String, _ bounds: ClosedRange<Int>) -> Key {
            Key(path, ["\(bounds.lowerBound - 1)", "\(bounds.upperBound + 1)", "1.5", "1e30", "'1'", "-1"])
        }

        static func bytes(_ path: String, _ bounds: ClosedRange<Int>) -> Key {
            Key(path, ["\(bounds.lowerBound - 1)", "\(bounds.upperBound + 1)", "'1MB'", "'-1KiB'"])
        }

        static func share(_ path: String) -> Key {
            Key(path, ["-0.1", "1.1", "NaN", "Infinity", "-Infinity", "'0.5'"])
        }
    }

    static let keys: [Key] =
        Self.poolKeys + [
            Key("socket.path", ["''", "'/\(String(repeating: "x", count: 107))'"]),
            Key("socket.mode", ["384", "'0999'", "'01777'", "''"]),
            Key("socket.group", ["''", "-1"]),
            Key("load_balancer.strategy", ["'fastest'", "''", "1"]),
            Key("load_balancer.technique_routing.t", ["'nowhere'"]),
            .integer("load_balancer.queue_size", 1...1_000_000),
            .duration("load_balancer.queue_timeout", orZero: true),
            .duration("timeouts.default"), .duration("timeouts.max"), .duration("timeouts.per_method.m"),
            .duration("timeouts.control"), .duration("timeouts.control_wait"),
            .duration("timeouts.stream_idle"), .duration("timeouts.stream_total"),
            .duration("timeouts.cancel_grace", orZero: true), .duration("timeouts.term_grace", orZero: true),
            .duration("timeouts.shutdown_grace", orZero: true),
            .duration("health.interval"), .duration("health.timeout"),
            .integer("health.unhealthy_threshold", 1...1000),
            .integer("health.noise_lines", 1...1_000_000_000),
            .bytes("health.noise_bytes", 1...1 << 50),
            .duration("restart.backoff_initial"), .duration("restart.backoff_max"),
            .share("restart.jitter"),
            .integer("restart.max_deaths", 1...1_000_000_000), .duration("restart.window"),
            .integer("recycle.max_requests", 1...1_000_000_000_000), .duration("recycle.max_age"),
            .bytes("recycle.max_rss", 1 << 20...1 << 50), .share("recycle.jitter"),
            .integer("retry.max_attempts", 1...10), .share("retry.budget_ratio"),
            .integer("retry.budget_min", 0...1_000_000), Key("retry.methods", ["['']", "'x'"]),
            .duration("scaling.up_after"), .duration("scaling.down_after"),
            .integer("cache.response_cache_size", 0...100_000_000),
            .bytes("cache.response_cache_bytes", 0...1 << 50), .duration("cache.response_cache_ttl"),
            .integer("cache.embedding_cache_size", 0...100_000_000),
            .bytes("cache.embedding_cache_bytes", 0...1 << 50), .duration("cache.embedding_cache_ttl"),
            Key("cache.embedding_cache_file", ["''"]), Key("cache.cacheable_methods", ["['']"]),
            Key("cache.shared_models", ["['']"]), .duration("cache.stale_while_revalidate"),
            .duration("cache.stale_if_error"),
            .bytes("limits.message_bytes", 1024...1 << 30), .bytes("limits.header_line_bytes", 64...1 << 20),
            .integer("limits.depth", 2...64), .integer("limits.batch_calls", 1...100_000),
            .integer("limits.id_bytes", 16...4096), .integer("limits.method_bytes", 32...4096),
            .integer("limits.metadata_text_characters", 36...4096),
            .integer("limits.connections", 1...1_000_000),
            .integer("limits.in_flight_per_connection", 1...1_000_000),
            .bytes("limits.bytes_per_connection", 1024...1 << 40),
            .bytes("limits.bytes_in_all", 1024...1 << 40), .duration("limits.write_stall"),
            Key("logging.level", ["'loud'"]), Key("logging.format", ["'xml'"]), Key("logging.file", ["''"]),
            .bytes("logging.rotate_bytes", 1024...1 << 40), .integer("logging.keep", 0...1000),
            .duration("logging.slow_request"),
        ]

    static let poolKeys: [Key] = [
        Key("name", ["''", "'a b'", "'\(String(repeating: "x", count: 65))'"]),
        Key("command", ["[]", "'worker'"]), Key("prepare", ["'make'"]), Key("directory", ["''"]),
        Key("env.A", ["1", "[]"]), Key("env.WORKER_ID", ["'x'"]), Key("env.PROJECT_ROOT", ["'/'"]),
        Key("project_root", ["''"]), Key("methods", ["[]", "'*'"]),
        .integer("min_workers", 1...1024), .integer("max_workers", 1...1024),
        .integer("max_concurrency", 1...65_536), .duration("start_timeout"),
        .bytes("max_memory", 1 << 20...1 << 50),
        .bytes("rlimits.as", 0...1 << 50), .bytes("rlimits.core", 0...1 << 50),
        .bytes("rlimits.data", 0...1 << 50), .bytes("rlimits.fsize", 0...1 << 50),
        .bytes("rlimits.stack", 0...1 << 50), .integer("rlimits.cpu", 1...1 << 30),
        .integer("rlimits.nofile", 1...1 << 30), .integer("rlimits.nproc", 1...1 << 30),
    ].map { Key("pools[0].\($0.path)", $0.absurd) }

    @Test(arguments: Self.keys)
    func refusesAnAbsurdValueWithItsPath(key: Key) {
        for value in key.absurd {
            var text = value
            for name in key.path.split(separator: ".").reversed() {
                text = name == "pools[0]" ? "{pools: [\(text)]}" : "{\(name): \(text)}"
            }
            let (_, errors) = ConfigurationLoader.load("f") { _ in .success(Array(text.utf8)) }
            #expect(errors.count == 1 && errors[0].path.hasPrefix(key.path), "\(text): \(errors)")
        }
    }

    /// Each on its own is right.
    @Test(arguments: [
        ("{pools: [{min_workers: 3, max_workers: 2}]}", "pools[0].max_workers"),
        ("{restart: {backoff_initial: '2s', backoff_max: '1s'}}", "restart.backoff_max"),
        ("{timeouts: {default: '11m'}}", "timeouts.default"),
        ("{timeouts: {default: '2s', max: '1s'}}", "timeouts.default"),
        ("{timeouts: {max: '1s', per_method: {'a.b': '2s'}}}", #"timeouts.per_method["a.b"]"#),
        ("{limits: {bytes_per_connection: '2MiB', bytes_in_all: '1MiB'}}", "limits.bytes_in_all"),
        ("{socket: {path: '/s'}, control_socket: {path: '/s'}}", "control_socket.path"),
        ("{pools: [{name: 'a'}, {name: 'a'}]}", "pools[1].name"),
        ("{cache: {cacheable_methods: ['a', 'rag.stream']}}", "cache.cacheable_methods"),
    ])
    func refusesValuesThatContradictEachOther(text: String, path: String) {
        let (_, errors) = ConfigurationLoader.load("f") { _ in .success(Array(text.utf8)) }
        #expect(errors.map(\.path) == [path])
    }

    @Test func letsADefaultYieldToWhatIsGiven() {
        func limits(_ text: String) -> Configuration.Limits {
            let (configuration, errors) = ConfigurationLoader.load("f") { _ in .success(Array(text.utf8)) }
            #expect(errors.isEmpty)
            return configuration.limits
        }
        #expect(limits("{limits: {bytes_in_all: '1MiB'}}").bytesPerConnection == 1 << 20)
        #expect(limits("{limits: {bytes_per_connection: '1GiB'}}").bytesInAll == 1 << 30)
        #expect(limits("{timeouts: {max: '1s'}}") == Configuration.Limits())
    }
}
