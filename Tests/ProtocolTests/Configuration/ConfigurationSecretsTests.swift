import Protocol
import Testing

@Suite struct ConfigurationSecretsTests {
    private static let shown: JSONValue = [
        "env": ["HOME": "/", "API": .null], "apiKey": "a", "TOKENS": [1, 2], "client_secret": .null,
        "nested": [["password": ["x": 1]]], "depth": 5,
    ]

    @Test func hidesTheValuesOfVariablesAndOfNamesThatSayIt() {
        #expect(
            ConfigurationSecrets.hidden(in: Self.shown) == [
                "env": ["HOME": "…", "API": .null], "apiKey": "…", "TOKENS": "…", "client_secret": .null,
                "nested": [["password": "…"]], "depth": 5,
            ])
    }

    @Test func leavesThemOutForThoseWhoWouldTakeThePlaceholderForAValue() {
        #expect(
            ConfigurationSecrets.removed(from: Self.shown) == [
                "env": [:], "nested": [[:]], "depth": 5,
            ])
    }

    @Test(arguments: [
        ("pools[0].env", true), ("pools[0].env.HOME", true), ("pools[0].env[\"a.b\"]", true),
        ("x.api_key", true), ("x[\"my Password\"]", true), ("pools[0].inherit_env", false), ("socket", false),
        ("", false), ("environment", false),
    ]) func knowsASecretByItsPath(path: String, isHidden: Bool) {
        #expect(ConfigurationSecrets.hides(path: path) == isHidden)
    }

    @Test(arguments: [
        ("{env: 'A=hunter2'}", "1:7: env: expected an object, found a string"),
        ("{env: {A: 'hunter2'}}", "1:11: env.A: expected a whole number from 1 to 9, found a string"),
        ("{env: {A: 77777777}}", "1:11: env.A: expected a whole number from 1 to 9, found a number"),
        ("{token: 'hunter2'}", "1:9: token: expected a whole number from 1 to 9, found a string"),
        ("{secrets: ['hunter2']}", "1:12: secrets[0]: expected a whole number from 1 to 9, found a string"),
        ("{password: 'hunter2'}", "1:12: password: expected an object, found a string"),
        ("{keys: 'hunter2'}", "1:8: keys: expected an array, found a string"),
    ]) func doesNotQuoteASecretThatIsWrong(text: String, error: String) throws {
        let tree = try #require(JSON5Reader.read(Array(text.utf8)).value)
        var variables: [String: Int] = [:]
        var number = 1
        var numbers: [Int] = []
        let errors = ConfigurationObject.read(tree) { root in
            root.read("env", into: &variables, .dictionary(of: .integer(1...9)))
            root.read("token", into: &number, .integer(1...9))
            root.read("secrets", into: &numbers, .list(of: .integer(1...9)))
            root.object("password") { _ in }
            root.objects("keys") { _ in }
        }
        #expect(errors.map(\.description) == [error])
    }
}
