import Testing

@testable import Worker

@Suite struct CommandArgumentsTests {
    static let options: [CommandArguments.Option] = [
        .value("--out", "DIR"), .value("--top-k", "N"), .flag("--json"),
    ]

    @Test func takesOptionsAndWordsInAnyOrder() throws {
        let arguments = try CommandArguments(
            ["a", "--out", "x", "--json", "b", "--top-k=3", "--", "--out"], options: Self.options)
        #expect(arguments.words == ["a", "b", "--out"])
        #expect(arguments["--out"] == "x")
        #expect(arguments.has("--json"))
        #expect(try arguments.integer("--top-k", in: 1...5) == 3)
    }

    @Test(arguments: [
        (["--ot", "x"], "unknown option --ot; did you mean --out?"),
        (["--out"], "--out needs a value: --out DIR"),
        (["--out="], "--out needs a value: --out DIR"),
        (["--json=1"], "--json takes no value"),
        (["--json", "--json"], "--json is given twice"),
        (["-x"], "unknown option -x"),
    ])
    func refusesTheRest(arguments: [String], message: String) {
        #expect(throws: UsageError(message)) { try CommandArguments(arguments, options: Self.options) }
    }

    @Test(arguments: ["0", "6", "x", "1.5"])
    func boundsNumbers(text: String) throws {
        let arguments = try CommandArguments(["--top-k", text], options: Self.options)
        #expect(throws: UsageError("--top-k: expected a whole number from 1 to 5, found \(text)")) {
            try arguments.integer("--top-k", in: 1...5)
        }
    }
}

@Suite struct ServeSettingsTests {
    static func settings(
        _ arguments: [String] = [], workerID: String? = nil, _ environment: [String: String] = [:]
    ) throws -> ServeSettings {
        let options: [CommandArguments.Option] = [
            .value("--config", "FILE"), .value("--worker-id", "ID"), .value("--index", "DIR"),
        ]
        return try ServeSettings(
            CommandArguments(arguments, options: options), workerID: workerID,
            environment: ProcessEnvironment(environment), processors: 2)
    }

    @Test func needsNothing() throws {
        let settings = try Self.settings()
        #expect(settings.workerID == "default")
        #expect(settings.indexDirectory == nil)
        #expect(settings.maxConcurrency == 8)
    }

    @Test func prefersFlagsToEnvironmentToFile() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(
            "{ worker_id: 'f', index: { directory: 'ix' }, max_concurrency: 3, max_waiting: 0, }",
            to: "w.json5")
        let fromFile = try Self.settings(["--config", file], ["PROJECT_ROOT": "/root"])
        #expect(fromFile.workerID == "f" && fromFile.indexDirectory == "/root/ix")
        #expect(fromFile.maxConcurrency == 3 && fromFile.waitingLimit == 0)
        let environment = ["WORKER_ID": "e", "WORKER_INDEX": "env", "PROJECT_ROOT": ""]
        let fromEnvironment = try Self.settings(["--config", file], environment)
        #expect(fromEnvironment.workerID == "e" && fromEnvironment.indexDirectory == "env")
        let fromFlags = try Self.settings(
            ["--config", file, "--worker-id", "a", "--index", "i"], environment)
        #expect(fromFlags.workerID == "a" && fromFlags.indexDirectory == "i")
        #expect(
            try Self.settings(["--config", file], workerID: "worker_1", environment).workerID == "worker_1")
    }

    @Test(arguments: [
        ("{ indx: {} }", "did you mean index?"), ("{ index: { dir: 'x' } }", "index.dir"),
        ("{ max_concurrency: 0 }", "max_concurrency"), ("{ worker_id: 'a b' }", "worker_id"), ("{", "2:1"),
        ("{ max_waiting: 'x',\n max_concurrency: -1 }", "max_concurrency"),
    ])
    func namesWhatIsWrongInAFile(text: String, part: String) throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(text + "\n", to: "w.json5")
        do {
            _ = try Self.settings(["--config", file])
            Issue.record("\(text) was accepted")
        } catch let error as UsageError {
            #expect(error.description.contains(file + ":"))
            #expect(error.description.contains(part), "\(error)")
        }
    }

    @Test func refusesTwoIDs() {
        #expect(throws: UsageError.self) { try Self.settings(["--worker-id", "x"], workerID: "worker_1") }
        #expect(throws: UsageError.self) { try Self.settings(["--worker-id", "a b"]) }
    }
}

@Suite struct EmbeddingConfigurationTests {
    static func embedding(_ text: String, _ environment: [String: String] = [:]) throws -> EmbeddingSettings {
        let directory = try TemporaryDirectory()
        let file = try directory.write("{ embedding: \(text) }\n", to: "w.json5")
        return try ServeSettingsTests.settings(["--config", file], environment).embedding
    }

    @Test(arguments: ["{}", "{ provider: 'lsi' }", "null"])
    func isLSIUnlessAnEndpointIsNamed(text: String) throws {
        #expect(try Self.embedding(text) == .latentSemantic)
    }

    @Test func readsAnEndpoint() throws {
        let settings = try Self.embedding("{ provider: 'ollama', url: 'http://h:1', model: 'm' }")
        let address = try HTTPAddress("http://h:1")
        #expect(settings == .endpoint(EndpointSettings(dialect: .ollama, address: address, model: "m")))
        let whole = try Self.embedding(
            """
            { provider: 'openai', url: 'http://h:1/v1', model: 'm', dimensions: 768, timeout: '1500ms', batch_size: 8,
              api_key_env: 'KEY_1' }
            """, ["KEY_1": "s3cret"])
        let wanted = EndpointSettings(
            dialect: .openai, address: try HTTPAddress("http://h:1/v1"), model: "m", dimensions: 768,
            timeoutMilliseconds: 1_500, batchSize: 8, apiKey: "s3cret")
        #expect(whole == .endpoint(wanted))
        #expect(wanted.url == "http://h:1/v1/embeddings")
    }

    @Test func leavesTheDimensionsToTheModelOfAnEndpoint() throws {
        let directory = try TemporaryDirectory()
        let file = try directory.write(
            "{ embedding: { provider: 'ollama', url: 'http://127.0.0.1:1', model: 'm' } }", to: "w.json5")
        let source = try directory.write("Text.", to: "a.txt")
        let index = ["index", "--out", directory.file("out"), "--config", file, source]
        #expect(WorkerCommand.run(index + ["--dimensions", "3"]) == ExitCode.usage)
        #expect(WorkerCommand.run(index) == ExitCode.failed)
    }

    @Test(arguments: [
        ("{ provider: 'olama' }", "embedding.provider: expected one of lsi, ollama, openai"),
        ("{ provider: 'olama' }", "did you mean ollama?"),
        ("{ provder: 'ollama' }", "embedding.provder: unknown key; did you mean provider?"),
        (
            "{ provider: 'ollama', model: 'm' }",
            "embedding.url: expected a value: the provider \"ollama\" needs one"
        ),
        ("{ provider: 'openai', url: 'http://h' }", "embedding.model: expected a value"),
        ("{ url: 'http://h' }", "embedding.url: means nothing with provider \"lsi\""),
        (
            "{ provider: 'lsi', api_key_env: 'K' }",
            "embedding.api_key_env: means nothing with provider \"lsi\""
        ),
        (
            "{ provider: 'openai', url: 'https://h', model: 'm' }",
            "embedding.url: https is not spoken here: run a proxy on this host that does"
        ),
        ("{ provider: 'openai', url: 'h:80', model: 'm' }", "embedding.url: expected a URL such as"),
        ("{ provider: 'openai', url: 7, model: 'm' }", "found the number 7"),
        ("{ provider: 'openai', url: 'http://h', model: '' }", "embedding.model: expected a name"),
        (
            "{ provider: 'openai', url: 'http://h', model: 'm', dimensions: 0 }",
            "embedding.dimensions: expected"
        ),
        ("{ provider: 'openai', url: 'http://h', model: 'm', timeout: '0s' }", "embedding.timeout: expected"),
        (
            "{ provider: 'openai', url: 'http://h', model: 'm', batch_size: 257 }",
            "embedding.batch_size: expected"
        ),
        (
            "{ provider: 'openai', url: 'http://h', model: 'm', api_key_env: '1K' }",
            "embedding.api_key_env: expected"
        ),
        (
            "{ provider: 'openai', url: 'http://h', model: 'm', api_key_env: 'K' }",
            "embedding.api_key_env: the variable K is not set"
        ),
        (
            "{ provider: 'openai', url: 'http://h', model: 'm', api_key_env: 'BAD' }",
            "embedding.api_key_env: expected BAD to hold printable characters"
        ),
        ("7", "embedding: expected an object, found the number 7"),
    ])
    func namesWhatIsWrong(text: String, part: String) throws {
        do {
            _ = try Self.embedding(text, ["BAD": "s3cret\r\nX: y"])
            Issue.record("\(text) was accepted")
        } catch let error as UsageError {
            #expect(error.description.contains(part), "\(error)")
            #expect(!error.description.contains("s3cret"))
        }
    }
}

@Suite struct ShippedConfigurationTests {
    @Test func isAccepted() throws {
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let configuration = try WorkerConfiguration(file: root + "/config/worker.json5")
        #expect(configuration.indexDirectory == ".supervisor/index")
        #expect(configuration.maxWaiting == WorkerConfiguration().maxWaiting)
    }
}

@Suite struct WorkerCommandTests {
    @Test(arguments: [
        (["serv"], ExitCode.usage), (["index"], ExitCode.usage), (["eval"], ExitCode.usage),
        (["query", "bm25"], ExitCode.usage), (["--index"], ExitCode.usage),
        (["eval", "/nonexistent"], ExitCode.failed),
        (["index", "--out", "/tmp/none", "/nonexistent"], ExitCode.failed), (["version"], ExitCode.done),
        (["help", "index"], ExitCode.done), (["serve", "--help"], ExitCode.done),
        (["query", "bm52", "x"], ExitCode.usage),
        (["query", "bm25", "x", "--index", "/none"], ExitCode.failed),
        (["index", "--out", "/tmp/none", "--config", "/none", "/nonexistent"], ExitCode.usage),
    ])
    func exitsAsTheContractSays(arguments: [String], code: Int32) {
        #expect(WorkerCommand.run(arguments) == code)
    }
}
