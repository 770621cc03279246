import Protocol

/// The methods as an OpenRPC document (open-rpc.org, specification 1.3.2).
///
///     {"openrpc": "1.3.2", "info": {…}, "methods": [{"name": "ping", "params": [], "result": {…}, "errors": [{"$ref":
///      "#/components/errors/-32600"}, …], "x-answered-by": "supervisor", …}, …], "components": {…}}
///
/// What OpenRPC has no word for is said in members that begin with `x-`.
enum OpenRPCDocument {
    static let specification = "1.3.2"

    /// - Parameters:
    ///   - methods: of the contract.
    ///   - declared: others that workers have declared, and the pools that serve them.
    static func make(
        _ methods: [MethodDescription], declared: [(name: String, pools: [String])]
    ) -> JSONValue {
        [
            "openrpc": .string(Self.specification),
            "info": [
                "title": "supervisor", "version": .string(ProductVersion.contract),
                "description":
                    "JSON-RPC 2.0 on a Unix socket, answered by a supervisor and its pools of workers.",
            ],
            "methods": .array(methods.map(Self.entry) + declared.map { Self.entry($0.name, $0.pools) }),
            "components": [
                "schemas": .object(
                    MethodCatalogue.Component.allCases.map { .init($0.rawValue, $0.schema.value) }),
                "errors": .object(ErrorCode.allCases.map { .init("\($0.rawValue)", Self.entry($0)) }),
            ],
        ]
    }

    private static func entry(_ method: MethodDescription) -> JSONValue {
        let params = method.params.map { param -> JSONValue in
            [
                "name": .string(param.name), "description": .string(param.summary),
                "required": .bool(param.isRequired), "schema": param.schema.value,
            ]
        }
        return [
            "name": .string(method.name), "summary": .string(method.summary),
            "paramStructure": "by-name", "params": .array(params),
            "result": ["name": "result", "schema": method.result.value],
            "errors": .array(method.allErrors.map(Self.reference)),
            "x-answered-by": .string(method.answerer.rawValue), "x-answer": .string(method.pace.rawValue),
            "x-operators-only": .bool(method.isForOperators),
        ]
    }

    /// A method of which nothing is known but that workers have it: params and result are theirs.
    private static func entry(_ name: String, _ pools: [String]) -> JSONValue {
        [
            "name": .string(name), "summary": "Declared by workers, and passed on as it is",
            "paramStructure": "either", "params": [],
            "result": ["name": "result", "schema": JSONSchema.any.value],
            "errors": .array(
                (MethodDescription.errorsOfAll + MethodDescription.errorsOfCalls).map(Self.reference)),
            "x-answered-by": .string(MethodDescription.Answerer.worker.rawValue),
            "x-answer": .string(MethodDescription.Pace.call.rawValue), "x-operators-only": false,
            "x-declared-by-pools": .array(pools.map { .string($0) }),
        ]
    }

    private static func reference(_ code: ErrorCode) -> JSONValue {
        ["$ref": .string("#/components/errors/\(code.rawValue)")]
    }

    private static func entry(_ code: ErrorCode) -> JSONValue {
        ["code": .integer(code.rawValue), "message": .string(code.name)]
    }
}

extension SupervisorCore {
    /// `rpc.discover`: the methods of the contract that are answered, and those that workers have declared.
    var openRPCDocument: JSONValue {
        OpenRPCDocument.make(
            MethodCatalogue.all.filter { self.isAnswered($0.name) }, declared: self.declaredMethods)
    }
}
