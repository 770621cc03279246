import Protocol
import Testing

@testable import Supervisor

@Suite struct ConfigurationServeSettingsTests {
    private func resolve(
        _ arguments: [String] = [], environment: [String: String] = [:], files: [String: String] = [:]
    ) throws -> ServeSettings {
        try ServeSettings.resolve(CommandSyntax.serve.parse(arguments), environment: environment) { path in
            files[path].map { .success(Array($0.utf8)) }
                ?? .failure(.init(message: "No such file or directory"))
        }
    }

    private func faults(
        _ arguments: [String] = [], environment: [String: String] = [:], files: [String: String] = [:]
    ) -> [String] {
        do {
            _ = try self.resolve(arguments, environment: environment, files: files)
            return []
        } catch let error as InvalidConfiguration {
            return error.errors.map(\.description)
        } catch {
            return ["\(error)"]
        }
    }

    @Test func readsNoFileUnlessTold() throws {
        let settings = try self.resolve(files: ["supervisor.json5": "{x: 1}"])
        #expect(settings == ServeSettings(configuration: Configuration(), source: ConfigurationSource()))
        #expect(settings.configuration.pools[0].command == ["worker"])
        #expect(settings.configuration.pools[0].prepare == [])
    }

    @Test func prefersFlagsToEnvironmentToFileToDefaults() throws {
        let files = [
            "a":
                "{socket: {path: '/file', mode: '0660'}, logging: {level: 'error'}, cache: {embedding_cache_size: 1}}",
            "b": "{socket: {path: '/other'}}",
        ]
        var environment = ["SUPERVISOR_CONFIG": "a"]
        var settings = try self.resolve(environment: environment, files: files)
        #expect(settings.source.file == "a")
        #expect(settings.configuration.socket == .init(path: "/file", mode: 0o660))
        #expect(settings.configuration.logging.level == .error)
        #expect(settings.configuration.cache.embeddingCacheSize == 1)

        environment.merge(
            ["SUPERVISOR_SOCKET": "/env", "SUPERVISOR_LOG_LEVEL": "warning", "EMBEDDING_CACHE_SIZE": "0"]
        ) { $1 }
        settings = try self.resolve(environment: environment, files: files)
        #expect(settings.configuration.socket == .init(path: "/env", mode: 0o660))
        #expect(settings.configuration.logging.level == .warning)
        #expect(settings.configuration.cache.embeddingCacheSize == 0)

        settings = try self.resolve(
            ["--socket", "/flag", "--log-level=debug", "--config", "b"], environment: environment,
            files: files)
        #expect(settings.source.file == "b")
        #expect(settings.configuration.socket.path == "/flag")
        #expect(settings.configuration.logging.level == .debug)
    }

    @Test func takesAnEmptyVariableForUnset() throws {
        let environment = [
            "SUPERVISOR_SOCKET": "", "SUPERVISOR_CONFIG": "", "SUPERVISOR_LOG_LEVEL": "",
            "EMBEDDING_CACHE_SIZE": "",
        ]
        #expect(try self.resolve(environment: environment).configuration == Configuration())
    }

    @Test func appliesFlagsToTheFirstPool() throws {
        let file = "{pools: [{name: 'a', prepare: ['x'], max_workers: 8}, {name: 'b', prepare: ['y']}]}"
        let settings = try self.resolve(
            [
                "--config", "f", "--workers", "4", "--strategy", "least_connections", "--log-format", "json",
                "--", "py", "-u",
            ],
            files: ["f": file])
        let pools = settings.configuration.pools
        #expect(pools.map(\.command) == [["py", "-u"], ["worker"]])
        #expect(pools.map(\.prepare) == [[], ["y"]])
        #expect(pools.map(\.minWorkers) == [4, 2])
        #expect(pools.map(\.maxWorkers) == [4, 2])
        #expect(settings.configuration.loadBalancer.strategy == .leastLoad)
        #expect(settings.configuration.logging.format == .json)
    }

    @Test func takesANumberForAPath() throws {
        #expect(try self.resolve(["--socket", "12"]).configuration.socket.path == "12")
    }

    @Test(arguments: [
        (["--workers", "0"], "--workers: expected a whole number from 1 to 1024, found the number 0"),
        (
            ["--workers", "many"],
            "--workers: expected a whole number from 1 to 1024, found the string \"many\""
        ),
        (
            ["--workers", "2.5"],
            "--workers: expected a whole number from 1 to 1024, found the string \"2.5\""
        ),
        (
            ["--strategy", "random"],
            "--strategy: expected one of round_robin, least_load, performance_based, found the string \"random\""
        ),
        (
            ["--log-level", "inf"],
            "--log-level: expected one of debug, info, warning, error, found the string \"inf\"; did you mean info?"
        ),
        (["--log-format", "xml"], "--log-format: expected one of text, json, found the string \"xml\""),
        (["--config", "gone"], "gone: cannot be read: No such file or directory"),
    ])
    func refusesABadFlagByName(arguments: [String], error: String) {
        #expect(self.faults(arguments) == [error])
    }

    @Test(arguments: [
        (
            "SUPERVISOR_LOG_LEVEL", "loud",
            "expected one of debug, info, warning, error, found the string \"loud\""
        ),
        ("EMBEDDING_CACHE_SIZE", "-1", "expected a whole number from 0 to 100000000, found the number -1"),
        (
            "EMBEDDING_CACHE_SIZE", "10k",
            "expected a whole number from 0 to 100000000, found the string \"10k\""
        ),
    ])
    func refusesABadVariableByName(name: String, value: String, message: String) {
        #expect(self.faults(environment: [name: value]) == ["\(name): \(message)"])
    }

    @Test func namesTheFileOfTheEnvironmentThatIsNotThere() {
        #expect(
            self.faults(environment: ["SUPERVISOR_CONFIG": "gone"])
                == ["gone: cannot be read: No such file or directory"])
    }

    @Test func reportsFileEnvironmentAndFlagsTogether() {
        let faults = self.faults(
            ["--config", "f", "--workers", "x"], environment: ["EMBEDDING_CACHE_SIZE": "x"],
            files: ["f": "{y: 1}"])
        #expect(faults.count == 3)
    }
}
