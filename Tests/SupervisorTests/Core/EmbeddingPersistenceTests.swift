import Protocol
import Testing

@testable import Supervisor

/// Embeddings outlive the supervisor in their file.
@Suite struct EmbeddingPersistenceTests {
    private static func scenario(
        restoring file: [RecordedEffects.FileRecord] = [], after: Int64 = 0, model: String? = nil,
        epoch: String? = nil, command: [String] = ["worker"]
    ) -> Scenario {
        let scenario = Scenario {
            $0.cache.embeddingCacheFile = "embeddings"
            $0.cache.embeddingCacheTTL = .seconds(3600)
            $0.health.interval = .seconds(36_000)
            $0.pools[0].command = command
        }
        for record in file {
            record.key.withUnsafeBytes { key in
                record.value.withUnsafeBytes { value in
                    _ = scenario.core.restoreEmbedding(
                        record.kind, key: key, value: value, storedAt: record.storedAt - after)
                }
            }
        }
        var members: [JSONValue.Member] = []
        if let model { members.append(.init("embedding_model", .string(model))) }
        if let epoch { members.append(.init("cache_epoch", .string(epoch))) }
        scenario.makeReady(.object(members))
        return scenario
    }

    /// What a supervisor leaves behind that was asked for `a` and `b`.
    private static func file(model: String? = nil, epoch: String? = nil) throws -> [RecordedEffects
        .FileRecord]
    {
        let scenario = Self.scenario(model: model, epoch: epoch)
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a", "b"]) == ["a", "b"])
        scenario.tick { $0.stop(reason: "test", &$1) }
        for worker in scenario.workers { scenario.exit(worker, .exited(code: 0)) }
        #expect(scenario.effects.isFinished)
        return scenario.effects.file
    }

    @Test(arguments: [nil, "m"]) func aRestartKeepsThem(model: String?) throws {
        let scenario = Self.scenario(restoring: try Self.file(model: model), model: model)
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["b", "c", "a"]) == ["c"])
    }

    @Test func theyAreThereBeforeTheFirstWorkerIs() throws {
        let file = try Self.file(model: "m")
        let scenario = Scenario { $0.cache.embeddingCacheFile = "embeddings" }
        for record in file {
            record.key.withUnsafeBytes { key in
                record.value.withUnsafeBytes { value in
                    _ = scenario.core.restoreEmbedding(
                        record.kind, key: key, value: value, storedAt: record.storedAt)
                }
            }
        }
        let client = try scenario.connect()
        scenario.embed(client, ["a"])
        try scenario.expectVectors(client, ["a"])
    }

    @Test func theirAgeCounts() throws {
        let file = try Self.file()
        let young = Self.scenario(restoring: file, after: 3_599_000)
        #expect(young.embeddingFigure("entries") == 2)
        young.pass(.seconds(1))
        #expect(try young.missing(try young.connect(), ["a"]) == ["a"])
        let old = Self.scenario(restoring: file, after: 3_600_000)
        #expect(old.embeddingFigure("entries") == 0)
        let fromTheFuture = Self.scenario(restoring: file, after: -99_000_000)
        #expect(fromTheFuture.embeddingFigure("entries") == 2)
    }

    @Test func theModelIsForgottenWithTheCommandOrTheEpoch() throws {
        let file = try Self.file(epoch: "1")
        let cases: [(epoch: String, command: [String], model: String?)] = [
            ("1", ["worker"], "m"), ("2", ["worker"], nil), ("1", ["worker", "-x"], nil),
        ]
        for (epoch, command, model) in cases {
            let scenario = Self.scenario(restoring: file, epoch: epoch, command: command)
            scenario.embed(try scenario.connect(), ["new"])
            #expect(try scenario.openQuestion().model == model)
        }
    }

    @Test func theFileIsWrittenAWhileAfterAChange() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        #expect(scenario.effects.file.isEmpty)
        let texts = (0..<200).map { "text \($0)" }
        #expect(try scenario.missing(client, texts).count == 200)
        scenario.pass(.seconds(61))
        #expect(scenario.effects.file.count { $0.kind == 0 } == 200)
        #expect(scenario.core.timers.time(of: scenario.core.key(.embeddingFile, 0)) == nil, "idle is idle")
    }

    @Test func aClearIsInTheFileAtOnce() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.pass(.seconds(61))
        scenario.call(client, 1, "cache.clear")
        scenario.pass(.milliseconds(10))
        #expect(scenario.effects.file.isEmpty)
    }

    @Test func aDiskThatIsFullIsTriedAgain() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.effects.canWriteFile = false
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.pass(.seconds(61))
        scenario.effects.canWriteFile = true
        scenario.pass(.seconds(61))
        #expect(scenario.effects.file.count { $0.kind == 0 } == 1)
    }

    @Test func aDiskThatFillsUpWhileItIsWrittenIsTriedAgain() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.effects.canFinishFile = false
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.pass(.seconds(61))
        #expect(scenario.effects.file.isEmpty)
        scenario.effects.canFinishFile = true
        scenario.pass(.seconds(61))
        #expect(scenario.effects.file.count { $0.kind == 0 } == 1)
        #expect(scenario.core.timers.time(of: scenario.core.key(.embeddingFile, 0)) == nil, "idle is idle")
    }

    @Test func whatCouldNotBeWrittenIsWrittenAtTheEnd() throws {
        let scenario = Self.scenario()
        let client = try scenario.connect()
        scenario.effects.canFinishFile = false
        #expect(try scenario.missing(client, ["a"]) == ["a"])
        scenario.pass(.seconds(61))
        scenario.effects.canFinishFile = true
        scenario.tick { $0.stop(reason: "test", &$1) }
        for worker in scenario.workers { scenario.exit(worker, .exited(code: 0)) }
        #expect(scenario.effects.isFinished)
        #expect(scenario.effects.file.count { $0.kind == 0 } == 1)
    }

    @Test func recordsThatAreNoneAreLeftOut() throws {
        let scenario = Self.scenario()
        let records: [(UInt8, [UInt8], [UInt8])] = [
            (0, [], [1, 2, 3, 4]), (0, [255, 255, 1], [1, 2, 3, 4]), (0, [1, 0, 0, 65], [1, 2, 3]),
            (0, [1, 0, 0], []),
            (1, Array("default".utf8), [1]), (1, Array("gone".utf8), Array(repeating: 1, count: 20)),
            (9, [1], [1]),
        ]
        for (kind, key, value) in records {
            let isOfUse = key.withUnsafeBytes { key in
                value.withUnsafeBytes {
                    scenario.core.restoreEmbedding(kind, key: key, value: $0, storedAt: 0)
                }
            }
            #expect(!isOfUse)
        }
    }
}
