import Protocol

/// Techniques with defaults of their own, as the supervisor has told this worker (protocol §3, `pipeline.initialize`).
///
///     {"pipeline_id": "bm25_0a1b2c3d", "technique": "bm25",
///      "config": {"technique_params": {"k1": 2}, "options": {"top_k": 3}}}
///
/// A call that names the pipeline as its technique gets the defaults wherever it says nothing else itself.
final class PipelineRegistry: Sendable {
    struct Pipeline: Equatable, Sendable {
        var technique: Technique
        var options: JSONValue = .null
        var techniqueParameters: JSONValue = .null
    }

    private static let limit = 256
    private let pipelines = Locked<[String: Pipeline]>([:])

    var names: [String] { self.pipelines.withLock { $0.keys.sorted() } }

    /// - Throws: −32602 with the path; 3001 for a technique that there is not; 3002 for defaults that no call could have.
    func initialize(_ params: JSONValue?) throws(RPCError) -> JSONValue {
        let reader = try ParameterReader(
            params ?? .object([]), path: "", known: ["pipeline_id", "technique", "config"])
        guard let id = try reader.string("pipeline_id"), !id.isEmpty else {
            throw .invalidParams("pipeline_id", "expected a string")
        }
        guard let name = try reader.string("technique") else {
            throw .invalidParams("technique", "expected a string")
        }
        guard let technique = Technique(rawValue: name) else {
            throw ExecuteParameters.unknown(technique: name)
        }
        var pipeline = Pipeline(technique: technique)
        if let configuration = reader["config"] {
            let members = try ParameterReader(
                configuration, path: "config", known: ["options", "technique_params"])
            pipeline.options = members["options"] ?? .null
            pipeline.techniqueParameters = members["technique_params"] ?? .null
        }
        // What no call could ask for must not wait for the first one to be found out.
        do throws(RPCError) {
            _ = try ExecuteParameters(pipeline.completing(["query": "q"]))
        } catch {
            throw RPCError(
                .pipelineInitializationFailed, reason: "invalid_config", "config: \(error.message)",
                recovery: .fallbackTechnique)
        }
        let isFull = self.pipelines.withLock { pipelines in
            if pipelines[id] == nil, pipelines.count == Self.limit { return true }
            pipelines[id] = pipeline
            return false
        }
        guard !isFull else {
            throw RPCError(
                .resourceExhausted, reason: "too_many_pipelines", "There are \(Self.limit) pipelines already")
        }
        return ["pipeline_id": .string(id)]
    }

    /// - Throws: 3001 when there is no such pipeline.
    func destroy(_ params: JSONValue?) throws(RPCError) -> JSONValue {
        let reader = try ParameterReader(params ?? .object([]), path: "", known: ["pipeline_id"])
        guard let id = try reader.string("pipeline_id") else {
            throw .invalidParams("pipeline_id", "expected a string")
        }
        let known = self.pipelines.withLock { $0.removeValue(forKey: id) }
        guard known != nil else { throw ExecuteParameters.unknown(technique: id) }
        return .null
    }

    /// The params with a pipeline's technique and defaults in place of its id.
    ///
    /// - Returns: the params as they were, and no id, when they name no pipeline.
    func resolve(_ params: JSONValue?) -> (params: JSONValue?, id: String?) {
        guard let params, let id = params["technique"]?.stringValue,
            let pipeline = self.pipelines.withLock({ $0[id] })
        else { return (params, nil) }
        return (pipeline.completing(params), id)
    }
}

extension PipelineRegistry.Pipeline {
    /// A call's params with the technique, and the defaults under what the call says itself.
    fileprivate func completing(_ params: JSONValue) -> JSONValue {
        let replaced = ["technique", "options", "technique_params"]
        var members = (params.objectValue ?? []).filter { !replaced.contains($0.name) }
        members.append(.init("technique", .string(self.technique.rawValue)))
        for (name, defaults) in [("options", self.options), ("technique_params", self.techniqueParameters)] {
            let value = Self.merge(params[name] ?? .null, over: defaults)
            if !value.isNull { members.append(.init(name, value)) }
        }
        return .object(members)
    }

    private static func merge(_ own: JSONValue, over defaults: JSONValue) -> JSONValue {
        guard let mine = own.objectValue, let others = defaults.objectValue else {
            return own.isNull ? defaults : own
        }
        return .object(mine + others.filter { other in !mine.contains { $0.name == other.name } })
    }
}
