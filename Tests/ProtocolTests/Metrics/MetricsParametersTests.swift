import Testing

@testable import Protocol

@Suite struct MetricsParametersTests {
    @Test(arguments: MetricsTimeRange.allCases)
    func takesEveryRange(range: MetricsTimeRange) throws {
        let parameters = try MetricsParameters(["time_range": .string(range.rawValue)])
        #expect(parameters.timeRange == range)
        #expect(parameters.scope == .worker)
        #expect(!parameters.reset)
    }

    @Test func meansAllOfOneWorkerWhenNothingIsSaid() throws {
        let empty = try MetricsParameters(nil)
        #expect(try MetricsParameters([:]) == empty)
        #expect(empty.timeRange == nil && empty.scope == .worker && !empty.reset)
    }

    @Test(arguments: [
        (#"{"time_range":"2m"}"#, "time_range"), (#"{"time_range":60}"#, "time_range"),
        (#"{"time_range":null}"#, "time_range"), (#"{"scope":"x"}"#, "scope"), (#"{"reset":1}"#, "reset"),
        (#"{"reset":"true"}"#, "reset"), (#"{"x":1}"#, "x"), (#"{"scope":"pool","Reset":true}"#, "Reset"),
        (#"{"reset":false,"r\u0065set":true}"#, "reset"),
    ]) func refusesWhatItDoesNotKnowWithThePath(params: String, path: String) throws {
        let value = try JSONValue(parsing: params)
        let error = #expect(throws: RPCError.self) { try MetricsParameters(value) }
        #expect(error?.code == .invalidParams)
        #expect(error?.details == [.init("path", .string(path))])
    }

    @Test func takesAnEmptyArrayForNoParams() throws {
        #expect(try MetricsParameters(.array([])) == MetricsParameters(nil))
    }

    @Test(arguments: [#"["1m"]"#, #""1m""#, "null"])
    func refusesWhatIsNoObject(params: String) throws {
        let value = try JSONValue(parsing: params)
        #expect(throws: RPCError.self) { try MetricsParameters(value) }
    }

    @Test func namesTheRangesThereAre() {
        let error = #expect(throws: RPCError.self) { try MetricsParameters(["time_range": "2m"]) }
        #expect(
            error?.message == "Invalid params: time_range: expected one of \"1m\", \"5m\", \"15m\", \"1h\", "
                + "\"6h\", \"24h\", \"7d\", found \"2m\"")
    }
}
