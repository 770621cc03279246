import Protocol
import Testing

@testable import Supervisor

/// What the catalogue says of the methods is what the supervisor does.
@Suite struct MethodCatalogueTests {
    private static func route(_ name: String) -> MethodTable.Route {
        Array(name.utf8).withUnsafeBytes { MethodTable(Configuration()).route($0) }
    }

    @Test(arguments: MethodTable.LocalMethod.allCases)
    func describesEveryMethodThatTheSupervisorAnswers(method: MethodTable.LocalMethod) throws {
        let entry = try #require(MethodCatalogue.method(named: method.rawValue))
        // `metrics.get` is both: of the pool it is answered by the supervisor.
        #expect(entry.answerer != .worker || entry.name == "metrics.get")
    }

    @Test(arguments: MethodCatalogue.all.map(\.name))
    func tellsWorkersMethodsFromTheSupervisors(name: String) throws {
        let entry = try #require(MethodCatalogue.method(named: name))
        if case .worker = Self.route(name) {
            #expect(entry.answerer == .worker)
        } else {
            #expect(entry.answerer != .worker || name == "metrics.get")
        }
    }

    @Test func namesEachMethodOnce() {
        let names = MethodCatalogue.all.map(\.name)
        #expect(Set(names).count == names.count)
        for method in MethodCatalogue.all {
            #expect(Set(method.params.map(\.name)).count == method.params.count)
            #expect(!method.summary.hasSuffix("."))
        }
    }

    /// A stranger is refused exactly the methods that are for operators.
    @Test(arguments: MethodTable.LocalMethod.allCases)
    func knowsWhichMethodsAreForOperators(method: MethodTable.LocalMethod) throws {
        let entry = try #require(MethodCatalogue.method(named: method.rawValue))
        let scenario = Scenario.ready()
        let stranger = try scenario.connect(uid: 5)
        scenario.call(stranger, 1, method.rawValue)
        let isRefused = scenario.take(stranger).first?["error"]?["code"] == -32001
        #expect(isRefused == entry.isForOperators)
    }

    /// An unknown member is refused by every method of the supervisor that takes an object of its own.
    @Test(arguments: MethodTable.LocalMethod.allCases)
    func answersImmediateMethodsAtOnce(method: MethodTable.LocalMethod) throws {
        let entry = try #require(MethodCatalogue.method(named: method.rawValue))
        guard entry.pace == .immediate || entry.pace == .notification else { return }
        let scenario = Scenario()
        let client = try scenario.connect()
        scenario.call(client, 1, method.rawValue)
        #expect(scenario.take(client).count == 1, "no worker is ready")
    }

    // MARK: Results

    private static let exchanges: [(method: String, params: JSONValue?)] = [
        ("ping", nil), ("system.info", nil), ("health.detailed", nil), ("supervisor.status", nil),
        ("events.subscribe", ["topics": ["worker.*"]]), ("events.unsubscribe", nil), ("rpc.discover", nil),
        ("supervisor.explain", ["method": "job.run"]), ("supervisor.explain", ["method": "ping"]),
        ("supervisor.scale", ["workers": 2]), ("supervisor.drain", ["worker": 0]),
        ("supervisor.stop", nil), ("$/cancelRequest", ["id": 5]), ("pipeline.list", nil),
        ("config.validate", [:]),
    ]

    @Test(arguments: MethodCatalogueTests.exchanges.indices)
    func answersWhatItSays(index: Int) throws {
        let (method, params) = Self.exchanges[index]
        guard Self.route(method) != .reserved else { return }
        let scenario = Scenario.ready(capabilities: ["techniques": ["a"]])
        scenario.call(try scenario.connect(), 1, "job.run")
        let client = try scenario.connect()
        scenario.call(client, 1, method, params: params)
        let answer = try scenario.answer(client)
        let result = try #require(answer["result"], "\(answer.text)")
        let entry = try #require(MethodCatalogue.method(named: method))
        let schemas = MethodCatalogue.Component.allCases.map {
            JSONValue.Member($0.rawValue, $0.schema.value)
        }
        let faults = SchemaCheck(components: .object(schemas)).faults(result, entry.result.value)
        #expect(faults.isEmpty, "\(faults.joined(separator: "\n"))")
    }
}

@Suite struct OpenRPCTests {
    private func document(_ scenario: Scenario) throws -> JSONValue {
        let client = try scenario.connect(uid: 5)
        scenario.call(client, 1, "rpc.discover")
        return try #require(try scenario.answer(client)["result"])
    }

    @Test func isAValidDocument() throws {
        let document = try self.document(Scenario.ready(capabilities: ["methods": ["job.run"]]))
        #expect(document["openrpc"] == "1.3.2")
        #expect(document["info"]?["title"]?.stringValue != nil)
        #expect(document["info"]?["version"]?.stringValue != nil)
        let methods = try #require(document["methods"]?.arrayValue)
        let names = methods.compactMap { $0["name"]?.stringValue }
        #expect(names.count == methods.count && Set(names).count == names.count)
        for method in methods { Self.checkMethod(method) }
        let errors = try #require(document["components"]?["errors"]?.objectValue)
        for error in errors {
            #expect(error.value["code"]?.integerValue.map { "\($0)" } == error.name)
            #expect(error.value["message"]?.stringValue?.isEmpty == false)
        }
        #expect(Self.danglingReferences(in: document, root: document).isEmpty)
    }

    /// The fields that the specification knows for a method object; others begin with `x-`.
    private static let methodFields: Set = [
        "name", "description", "summary", "servers", "tags", "paramStructure", "params", "result", "errors",
        "links", "examples", "deprecated", "externalDocs",
    ]

    private static func checkMethod(_ method: JSONValue) {
        let name = method["name"]?.stringValue ?? ""
        let members = method.objectValue ?? []
        #expect(!name.isEmpty)
        #expect(members.allSatisfy { self.methodFields.contains($0.name) || $0.name.hasPrefix("x-") })
        #expect(["by-name", "by-position", "either"].contains(method["paramStructure"]?.stringValue))
        let params = method["params"]?.arrayValue
        #expect(params != nil)
        var isOptional = false
        for param in params ?? [] {
            #expect(param["name"]?.stringValue?.isEmpty == false)
            #expect(param["schema"].map(self.isSchema) == true, "\(name) \(param.text)")
            // By position, what is required comes first.
            if param["required"] == true { #expect(!isOptional, "\(name)") } else { isOptional = true }
        }
        #expect(method["result"]?["name"]?.stringValue != nil)
        #expect(method["result"]?["schema"].map(self.isSchema) == true)
        #expect(method["errors"]?.arrayValue?.isEmpty == false)
    }

    private static let types: Set = ["null", "boolean", "object", "array", "number", "integer", "string"]

    private static func isSchema(_ schema: JSONValue) -> Bool {
        guard let members = schema.objectValue else { return false }
        let parts =
            (schema["anyOf"]?.arrayValue ?? []) + (schema["properties"]?.objectValue ?? []).map(\.value)
            + [schema["items"], schema["additionalProperties"]].compactMap { $0 }
        let typeIsKnown = schema["type"]?.stringValue.map(self.types.contains) ?? true
        let required = (schema["required"]?.arrayValue ?? []).compactMap(\.stringValue)
        let known = (schema["properties"]?.objectValue ?? []).map(\.name)
        return typeIsKnown && parts.allSatisfy(self.isSchema) && required.allSatisfy(known.contains)
            && Set(members.map(\.name)).count == members.count
    }

    private static func danglingReferences(in value: JSONValue, root: JSONValue) -> [String] {
        switch value {
        case .array(let elements): elements.flatMap { self.danglingReferences(in: $0, root: root) }
        case .object(let members):
            members.flatMap { member -> [String] in
                guard member.name == "$ref", let reference = member.value.stringValue else {
                    return self.danglingReferences(in: member.value, root: root)
                }
                let steps = reference.split(separator: "/")
                let target = steps.dropFirst().reduce(JSONValue?.some(root)) { $0?[String($1)] }
                return steps.first == "#" && target != nil ? [] : [reference]
            }
        case .null, .bool, .integer, .double, .string: []
        }
    }

    @Test func hasTheMethodsThatAreAnsweredAndNoOthers() throws {
        let scenario = Scenario.ready()
        let document = try self.document(scenario)
        let names = Set((document["methods"]?.arrayValue ?? []).compactMap { $0["name"]?.stringValue })
        for method in MethodTable.LocalMethod.allCases { #expect(names.contains(method.rawValue)) }
        let client = try scenario.connect()
        for name in names {
            scenario.call(client, 1, name, params: [:])
            let answers = scenario.take(client)
            #expect(!answers.contains { $0["error"]?["code"] == -32601 }, "\(name)")
            guard scenario.core.phase == .running else { break }
        }
    }

    @Test func marksWhatWorkersHaveDeclared() throws {
        let scenario = Scenario.ready(
            capabilities: ["methods": ["job.run", "job.*", "events.mine", "ping", "other.run"]]
        ) { $0.pools[0].methods = ["job.*"] }
        let methods = try #require(try self.document(scenario)["methods"]?.arrayValue)
        let declared = methods.filter { $0["x-declared-by-pools"] != nil }
        #expect(declared.map { $0["name"] } == ["job.run"])
        #expect(declared.first?["x-declared-by-pools"] == ["default"])
    }

    @Test func hasEveryErrorCodeOnce() throws {
        let errors = try #require(
            try self.document(Scenario())["components"]?["errors"]?.objectValue)
        #expect(errors.map(\.name) == ErrorCode.allCases.map { "\($0.rawValue)" })
    }
}
