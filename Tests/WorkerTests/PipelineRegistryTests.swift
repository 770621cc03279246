import Protocol
import Testing

@testable import Worker

/// Pipelines and fallbacks, as the worker hears of them.
@Suite struct PipelineRegistryTests {
    private static func refusal(_ body: () throws(RPCError) -> Void) -> RPCError? {
        do throws(RPCError) {
            try body()
            return nil
        } catch {
            return error
        }
    }

    private static let pipeline: JSONValue = [
        "pipeline_id": "bm25_00000001", "technique": "bm25",
        "config": ["options": ["top_k": 3, "explain": true], "technique_params": ["k1": 2]],
    ]

    @Test func aCallGetsItsDefaultsWhereItSaysNothingElse() throws {
        let registry = PipelineRegistry()
        #expect(try registry.initialize(Self.pipeline) == ["pipeline_id": "bm25_00000001"])
        let (params, id) = registry.resolve(
            [
                "technique": "bm25_00000001", "query": "q", "options": ["top_k": 7],
                "technique_params": ["b": 0.5],
            ])
        #expect(id == "bm25_00000001")
        let parameters = try ExecuteParameters(params)
        #expect(parameters.technique == .bm25 && parameters.topK == 7 && parameters.explain)
        #expect(parameters.techniqueParameters.bm25.k1 == 2 && parameters.techniqueParameters.bm25.b == 0.5)
        let other: JSONValue = ["technique": "bm25", "query": "q"]
        #expect(registry.resolve(other).params == other && registry.resolve(other).id == nil)
    }

    @Test func areGoneWhenTheyAreDestroyed() throws {
        let registry = PipelineRegistry()
        _ = try registry.initialize(Self.pipeline)
        #expect(registry.names == ["bm25_00000001"])
        #expect(try registry.destroy(["pipeline_id": "bm25_00000001"]) == .null)
        #expect(
            Self.refusal { () throws(RPCError) in _ = try registry.destroy(["pipeline_id": "bm25_00000001"])
            }?.code == .pipelineNotFound)
        #expect(registry.resolve(["technique": "bm25_00000001", "query": "q"]).id == nil)
    }

    @Test(arguments: [
        (#"{"technique":"bm25"}"#, ErrorCode.invalidParams), (#"{"pipeline_id":"x"}"#, .invalidParams),
        (#"{"pipeline_id":"x","technique":"bm52"}"#, .pipelineNotFound),
        (#"{"pipeline_id":"x","technique":"bm25","config":{"k1":2}}"#, .invalidParams),
        (
            #"{"pipeline_id":"x","technique":"bm25","config":{"options":{"top_k":0}}}"#,
            .pipelineInitializationFailed
        ),
        (
            #"{"pipeline_id":"x","technique":"bm25","config":{"technique_params":{"k":2}}}"#,
            .pipelineInitializationFailed
        ),
    ]) func refusesWhatNoCallCouldHave(params: String, code: ErrorCode) throws {
        let value = try JSONValue(parsing: Array(params.utf8))
        let error = Self.refusal { () throws(RPCError) in _ = try PipelineRegistry().initialize(value) }
        #expect(error?.code == code)
    }

    @Test func aFallbackLeavesOutWhatBelongsToTheTechniqueThatFailed() throws {
        let fallback = try #require(TechniqueFallback(["from": "hybrid", "code": 4002]))
        let params = fallback.adapt(["technique": "bm25", "query": "q", "technique_params": ["weights": [:]]])
        #expect(params == ["technique": "bm25", "query": "q"])
        #expect(fallback.words == "fallback_from_hybrid: 4002")
        #expect(TechniqueFallback(["from": 1, "code": 4002]) == nil)
    }
}
