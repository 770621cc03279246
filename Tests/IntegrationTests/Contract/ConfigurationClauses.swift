import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Contract {
    @Suite("§8 Configuration", .timeLimit(.minutes(1)))
    struct ConfigurationClauses {
        /// The table of §8, and of §1 for `limits`, as a file that says what holds without one.
        private static let defaults = #"""
            { // every key, with its default
              "socket": { "path": null, "mode": "0600", "group": null },
              control_socket: null,
              operators: [],
              pools: [{
                name: "default", command: ["worker"], prepare: [], directory: null, env: {}, inherit_env: null,
                project_root: null, min_workers: 2, max_workers: 2, methods: ["*"], techniques: null,
                max_concurrency: null, start_timeout: "60s", max_memory: "off", rlimits: {},
              }],
              load_balancer: {
                strategy: "round_robin", technique_routing: {}, queue_size: 256, queue_timeout: "5s",
              },
              timeouts: {
                default: "60s", per_method: {}, max: "10m", control: "5s", control_wait: "10m", stream_idle: "30s",
                stream_total: "10m", cancel_grace: "2s", term_grace: "5s", shutdown_grace: "15s",
              },
              health: { interval: "10s", timeout: "5s", unhealthy_threshold: 3, noise_lines: 100, noise_bytes: "1MiB" },
              restart: { backoff_initial: "100ms", backoff_max: "30s", jitter: 0.5, max_deaths: 5, window: "60s" },
              recycle: { max_requests: "off", max_age: "off", max_rss: "off", jitter: 0.15 },
              retry: {
                max_attempts: 2, budget_ratio: 0.2, budget_min: 3,
                methods: ["rag.execute", "embedding.create", "health.check", "metrics.get"],
              },
              scaling: { up_after: "100ms", down_after: "10m" },
              cache: {
                response_cache_size: 10000, response_cache_bytes: "64MiB", response_cache_ttl: "10m",
                embedding_cache_size: 100000, embedding_cache_bytes: "128MiB", embedding_cache_ttl: "24h",
                embedding_cache_file: null, cacheable_methods: [], stale_while_revalidate: "off",
                stale_if_error: "off",
              },
              limits: {
                message_bytes: "10MiB", depth: 64, batch_calls: 100, connections: 1024, in_flight_per_connection: 256,
                bytes_per_connection: "32MiB", bytes_in_all: "256MiB", id_bytes: 256, method_bytes: 128,
                metadata_text_characters: 128, header_line_bytes: "4KiB", write_stall: "60s",
              },
              logging: { level: "info", format: null, file: null, rotate_bytes: "64MiB", keep: 7 },
            }
            """#

        private func shown(_ text: String) throws -> String {
            let directory = try TestDirectory()
            let file = try directory.write(text, to: "c.json5")
            let run = try Command.run([Programs.supervisor, "config", "show", file])
            guard run.exitCode == 0, run.errors.isEmpty else { throw Failure(run.errors) }
            return run.output
        }

        @Test("Every key of the table is accepted, and its default is what holds without it")
        func everyKey() throws {
            let none = try Command.run([Programs.supervisor, "config", "show"])
            #expect(none.exitCode == 0)
            #expect(try self.shown(Self.defaults) == none.output)
            #expect(try self.shown("{}") == none.output)
        }

        /// Each of them shown with another value than its default.
        private static let values: [(path: String, text: String, shown: JSONValue)] = [
            ("socket.mode", #""0666""#, "0666"), ("operators", "[1000]", [1000]),
            ("pools.0.start_timeout", #""250ms""#, "250ms"), ("pools.0.max_memory", #""64MiB""#, "64MiB"),
            ("pools.0.inherit_env", #"["PATH"]"#, ["PATH"]), ("pools.0.max_concurrency", "3", 3),
            ("load_balancer.strategy", #""least_connections""#, "least_load"),
            ("load_balancer.queue_timeout", "0", "0s"), ("timeouts.default", #""5s""#, "5s"),
            ("timeouts.per_method.x", #""10m""#, "10m"), ("recycle.max_requests", "100", 100),
            ("recycle.max_age", #""24h""#, "24h"), ("recycle.max_rss", #""1GiB""#, "1GiB"),
            ("cache.stale_while_revalidate", #""5s""#, "5s"), ("cache.response_cache_size", "0", 0),
            ("limits.message_bytes", #""1MiB""#, "1MiB"), ("logging.format", #""text""#, "text"),
        ]

        @Test("Durations, sizes and words in the forms of the page", arguments: Self.values.indices)
        func valueForms(index: Int) throws {
            let (path, text, value) = Self.values[index]
            let keys = path.split(separator: ".")
            let document = keys.reversed().reduce(text) { inner, key in
                key == "0" ? "[\(inner)]" : "{\(key): \(inner)}"
            }
            #expect(try JSONValue(parsing: self.shown(document))[path: path] == value)
        }

        private static let faults = [
            ("{ pols: [] }", "pols: unknown key; did you mean pools?"),
            ("{ cache: { response_cache_sise: 1 } }", "cache.response_cache_sise: unknown key; did you mean"),
            ("{ timeouts: { default: \"5 seconds\" } }", "timeouts.default: expected a duration"),
            ("{ timeouts: { default: 5 } }", "timeouts.default: expected a duration"),
            ("{ limits: { message_bytes: \"10MB\" } }", "limits.message_bytes: expected a number of bytes"),
            (
                "{ pools: [{ max_workers: 1, min_workers: 2 }] }",
                "pools[0].max_workers: expected at least min_workers"
            ),
            ("{ pools: [{ name: \"a\" }, { name: \"a\" }] }", "pools[1].name"),
            (
                "{ load_balancer: { technique_routing: { t: \"no\" } } }",
                "load_balancer.technique_routing.t: expected"
            ),
            ("{ operators: [\"x\"] }", "operators[0]: expected"),
            ("{ health: null, healht: {} }", "did you mean health?"),
        ]

        @Test(
            "An unknown key or a bad value is refused with its path, what was expected and the nearest known key"
        )
        func refusals() throws {
            for (text, words) in Self.faults {
                let directory = try TestDirectory()
                let file = try directory.write(text, to: "c.json5")
                let run = try Command.run([Programs.supervisor, "config", "validate", file])
                #expect(
                    run.exitCode == 2 && run.output == "" && run.errors.contains(words),
                    "\(text): \(run.errors)")
            }
        }
    }
}
