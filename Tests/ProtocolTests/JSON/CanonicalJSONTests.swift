import Testing

@testable import Protocol

@Suite struct CanonicalJSONTests {
    private static func canonical(_ text: String) -> String? {
        var writer = CanonicalJSON()
        var output: [UInt8] = []
        let bytes = Array(text.utf8)
        guard bytes.withUnsafeBytes({ writer.append($0, to: &output) }) else { return nil }
        return String(decoding: output, as: UTF8.self)
    }

    @Test(arguments: [
        ("null", "null"), (" true ", "true"), ("[ ]", "[]"), ("{ }", "{}"),
        ("[1, [2 ,{}],3]", "[1,[2,{}],3]"),
        (#"{"b":1,"a":2}"#, #"{"a":2,"b":1}"#),
        (#"{ "b" : {"d":1,"c":[2]} , "ab" : 2, "a": 3 }"#, #"{"a":3,"ab":2,"b":{"c":[2],"d":1}}"#),
        (#""\u0041\/\n\u001f\"\\""#, #""A/\n\u001f\"\\""#), (#""\uD83D\ude00é""#, #""😀é""#),
        (#"{"\u0062":1,"a":2}"#, #"{"a":2,"b":1}"#), (#"{"a!":1,"a":2}"#, #"{"a!":1,"a":2}"#),
    ]) func hasOneFormForAllSpellings(text: String, form: String) {
        #expect(Self.canonical(text) == form)
        #expect(Self.canonical(form) == form, "the form is its own form")
    }

    @Test(arguments: [
        ("0", "0"), ("-0", "0"), ("0.00e7", "0"), ("-0E-99999999999999999999", "0"), ("7", "7"),
        ("-12", "-12"),
        ("10", "1e1"), ("10.0", "1e1"), ("1e1", "1e1"), ("1E+01", "1e1"), ("100e-1", "1e1"), ("0.1e2", "1e1"),
        ("1.5", "15e-1"), ("-0.05", "-5e-2"), ("120.50", "1205e-1"), ("3e-0", "3"), ("0.5e1", "5"),
        ("9007199254740993", "9007199254740993"), ("9007199254740992", "9007199254740992"),
        ("1e1000000000", "1e1000000000"), ("10e999999999", "1e1000000000"),
        ("1e100000000000000000", "1e100000000000000000"), ("10e99999999999999999", "1e100000000000000000"),
        ("0.01e100000000000000001", "1e99999999999999999"),
        ("1000e99999999999999999997", "1e100000000000000000000"),
        ("0.1e-99999999999999999999", "1e-100000000000000000000"),
        ("10e-100000000000000000000", "1e-99999999999999999999"),
    ]) func hasOneFormForEachDecimalValue(number: String, form: String) {
        #expect(Self.canonical(number) == form)
        #expect(Self.canonical(form) == form, "the form is its own form")
    }

    @Test(arguments: [
        #"{"a":1,"a":1}"#, #"{"a":1,"b":2,"\u0061":3}"#, #"{"b":1,"a":{"x":1,"x":2}}"#, #"[{"a":1,"a":1}]"#,
        #""\ud800""#, #""\udc00\ud800""#, #"{"\ud800":1}"#, #"["\ud800x"]"#, #"{"c":1,"b":1,"a":1,"b":2}"#,
    ]) func hasNoFormForWhatReadersTakeDifferently(text: String) {
        var writer = CanonicalJSON()
        var output = Array("kept".utf8)
        #expect(!Array(text.utf8).withUnsafeBytes { writer.append($0, to: &output) })
        #expect(output == Array("kept".utf8), "nothing is left behind")
        #expect(Array("{\"b\":1,\"a\":2}".utf8).withUnsafeBytes { writer.append($0, to: &output) })
        #expect(String(decoding: output, as: UTF8.self) == #"kept{"a":2,"b":1}"#, "the writer goes on")
    }

    @Test(arguments: [2, 3, 16, 17, 100]) func sortsObjectsOfAnySize(count: Int) {
        var random = SplitMix64(seed: UInt64(count))
        let members = (100..<100 + count).map { "\"n\($0)\":{\"b\":[\($0)],\"a\":\"x\"}" }
        let sorted = (100..<100 + count).map { number in
            "\"n\(number)\":{\"a\":\"x\",\"b\":[\(number % 10 == 0 ? "\(number / 10)e1" : "\(number)")]}"
        }
        let form = "{\(sorted.joined(separator: ","))}".replacing("[10e1]", with: "[1e2]")
        for _ in 0..<5 {
            let spelling = "{\(members.shuffled(using: &random).joined(separator: " , "))}"
            #expect(Self.canonical(spelling) == form)
        }
    }

    /// What grows most, and nothing else: the space is made by the size of what comes in.
    @Test(arguments: [(#"\b"#, #"\u0008"#), (#"\f"#, #"\u000c"#), ("x", "x")])
    func hasRoomForWhatGrows(text: String, form: String) {
        for count in [1, 1000, 300_000] {
            let (long, longForm) = (
                String(repeating: text, count: count), String(repeating: form, count: count)
            )
            #expect(Self.canonical("\"\(long)\"") == "\"\(longForm)\"")
        }
        let numbers = Array(repeating: "1.5", count: 1000).joined(separator: ",")
        let forms = Array(repeating: "15e-1", count: 1000).joined(separator: ",")
        #expect(Self.canonical("[\(numbers)]") == "[\(forms)]")
    }

    @Test func followsNestingToTheLimitOfMessages() {
        let deep = String(repeating: #"{"b":0,"a":"#, count: 64) + "1" + String(repeating: "}", count: 64)
        let sorted = String(repeating: #"{"a":"#, count: 64) + "1" + String(repeating: #","b":0}"#, count: 64)
        #expect(Self.canonical(deep) == sorted)
    }

    /// Documents are made small, so that equal ones and nearly equal ones occur often.
    @Test(arguments: 0..<4) func isEqualExactlyWhenTheValuesAre(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var documents: [(value: Value, form: String)] = []
        for _ in 0..<400 {
            let value = Value.make(depth: 3, &random)
            let form = try #require(Self.canonical(value.spelled(&random)))
            for _ in 0..<3 {
                let spelling = value.spelled(&random)
                #expect(Self.canonical(spelling) == form, "\(spelling)")
            }
            documents.append((value, form))
        }
        for left in documents {
            for right in documents where (left.value == right.value) != (left.form == right.form) {
                Issue.record("\(left) and \(right)")
            }
        }
    }

    @Test func tellsADocumentFromOneWithASingleLeafChanged() throws {
        var random = SplitMix64(seed: 99)
        for _ in 0..<2000 {
            let value = Value.make(depth: 4, &random)
            let changed = value.changed(&random)
            try #require(value != changed)
            #expect(Self.canonical(value.spelled(&random)) != Self.canonical(changed.spelled(&random)))
        }
    }
}

/// A JSON value as the mathematics has it, which can be spelled in many ways.
private indirect enum Value: Equatable {
    case word(String)
    /// Digits without zeros at either end, times ten to the power of the exponent; no digits: 0.
    case number(isNegative: Bool, digits: String, exponent: Int)
    case text([Unicode.Scalar])
    case list([Value])
    case object([String: Value])

    private static let scalars = Array("aAb\"\\/\n\u{1}\u{7F}é€😀\u{10FFFF}\u{2028}".unicodeScalars)

    static func make(depth: Int, _ random: inout SplitMix64) -> Value {
        switch Int.random(in: 0..<(depth > 0 ? 6 : 3), using: &random) {
        case 0: return .word(["null", "true", "false"].randomElement(using: &random) ?? "null")
        case 1: return self.makeNumber(&random)
        case 2: return .text(self.makeText(&random))
        case 3:
            return .list(
                (0..<Int.random(in: 0..<4, using: &random)).map { _ in make(depth: depth - 1, &random) })
        default:
            var members: [String: Value] = [:]
            for _ in 0..<Int.random(in: 0..<5, using: &random) {
                var name = String.UnicodeScalarView()
                name.append(contentsOf: self.makeText(&random))
                members[String(name)] = make(depth: depth - 1, &random)
            }
            return .object(members)
        }
    }

    private static func makeNumber(_ random: inout SplitMix64) -> Value {
        guard Int.random(in: 0..<6, using: &random) > 0 else {
            return .number(isNegative: false, digits: "", exponent: 0)
        }
        let digits = ["1", "2", "12", "102", "9007199254740993", "9007199254740992"]
        return .number(
            isNegative: Bool.random(using: &random), digits: digits.randomElement(using: &random) ?? "1",
            exponent: Int.random(in: -3...3, using: &random))
    }

    private static func makeText(_ random: inout SplitMix64) -> [Unicode.Scalar] {
        (0..<Int.random(in: 0..<3, using: &random)).compactMap { _ in scalars.randomElement(using: &random) }
    }

    /// The same but for one leaf, or one member, or one element more.
    func changed(_ random: inout SplitMix64) -> Value {
        switch self {
        case .word(let word): return .word(word == "null" ? "true" : "null")
        case .number(_, let digits, _) where digits.isEmpty:
            return .number(isNegative: false, digits: "1", exponent: 0)
        case .number(let isNegative, let digits, let exponent):
            return .number(isNegative: isNegative, digits: digits, exponent: exponent + 1)
        case .text(let scalars): return .text(scalars + ["a"])
        case .list(var values):
            guard let index = values.indices.randomElement(using: &random) else {
                return .list([.word("null")])
            }
            values[index] = values[index].changed(&random)
            return .list(values)
        case .object(var members):
            guard let name = members.keys.sorted().randomElement(using: &random) else {
                return .object(["": .word("null")])
            }
            members[name] = members[name]?.changed(&random)
            return .object(members)
        }
    }

    /// As JSON text, with spaces, escapes, zeros, exponents and the order of members by chance.
    func spelled(_ random: inout SplitMix64) -> String {
        func space() -> String { ["", "", " ", "\n\t", "\r"].randomElement(using: &random) ?? "" }
        switch self {
        case .word(let word): return space() + word + space()
        case .number(let isNegative, let digits, let exponent):
            return space() + (isNegative || digits.isEmpty && Bool.random(using: &random) ? "-" : "")
                + Self.spelled(digits, exponent, &random) + space()
        case .text(let scalars): return space() + Self.spelled(scalars, &random) + space()
        case .list(let values):
            let parts = values.map { $0.spelled(&random) }
            return "[" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "]" + space()
        case .object(let members):
            // `Dictionary` has an order of its own in every run: sorted first, so that a seed means one text.
            let order = members.sorted { $0.key < $1.key }.shuffled(using: &random)
            let parts = order.map { name, value in
                space() + Self.spelled(Array(name.unicodeScalars), &random) + space() + ":"
                    + value.spelled(&random)
            }
            return space() + "{" + (parts.isEmpty ? space() : parts.joined(separator: ",")) + "}"
        }
    }

    /// The point anywhere in or around the digits, zeros where they do not matter, the rest as an exponent.
    private static func spelled(
        _ digits: String, _ exponent: Int, _ random: inout SplitMix64
    ) -> String {
        let zeros = String(repeating: "0", count: Int.random(in: 0..<3, using: &random))
        let all = Array(digits + zeros)
        let point = Int.random(in: 0...all.count, using: &random)
        var whole = String(all[..<point])
        whole = String(whole.drop { $0 == "0" })
        let fraction = String(all[point...])
        // digits × 10^exponent = whole.fraction × 10^(exponent - zeros + fraction's digits)
        let power =
            digits.isEmpty ? Int.random(in: -9...9, using: &random) : exponent - zeros.count + fraction.count
        var text = whole.isEmpty ? "0" : whole
        if !fraction.isEmpty { text += "." + fraction }
        guard power != 0 || Bool.random(using: &random) else { return text }
        let sign = power < 0 ? "-" : Bool.random(using: &random) ? "+" : ""
        return text + (Bool.random(using: &random) ? "e" : "E") + sign
            + String(repeating: "0", count: Int.random(in: 0..<2, using: &random)) + "\(power.magnitude)"
    }

    private static func spelled(_ scalars: [Unicode.Scalar], _ random: inout SplitMix64) -> String {
        var text = "\""
        for scalar in scalars {
            let isPlain = scalar.value >= 0x20 && scalar != "\"" && scalar != "\\"
            switch (isPlain, Int.random(in: 0..<3, using: &random)) {
            case (true, 0...1): text.unicodeScalars.append(scalar)
            case (false, 0...1) where scalar == "\n": text += "\\n"
            case (false, 0...1) where scalar != "\u{1}":
                text += "\\"
                text.unicodeScalars.append(scalar)
            default:
                for unit in UTF16.encode(scalar) ?? UTF16.encodedReplacementCharacter {
                    let digits = String(unit, radix: 16, uppercase: Bool.random(using: &random))
                    text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
                }
            }
        }
        return text + "\""
    }
}
