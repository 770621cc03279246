import Protocol
import Testing

@Suite struct RPCErrorTests {
    @Test func hasTheShapeOfTheContract() {
        let error = RPCError(
            .workerOverloaded, reason: "queue_full", "The queue is full", retryable: true,
            retryAfterMilliseconds: 250, recovery: .retryRequest, workerID: "worker_1",
            details: [.init("queue_depth", 256)])
        #expect(
            error.value(requestID: "r-1") == [
                "code": 2002, "message": "The queue is full",
                "data": [
                    "name": "WORKER_OVERLOADED", "reason": "queue_full", "request_id": "r-1",
                    "retryable": true,
                    "retry_after_ms": 250, "recovery": "RETRY_REQUEST", "worker_id": "worker_1",
                    "queue_depth": 256,
                ],
            ])
    }

    @Test func leavesAbsentMembersOutButKeepsTheRequestID() {
        let error = RPCError.invalidRequest(.tooDeep)
        #expect(
            error.value(requestID: nil)["data"] == [
                "name": "Invalid Request", "reason": "too_deep", "request_id": .null, "retryable": false,
            ])
    }

    @Test func hasANameForEveryCode() {
        let names = Set(ErrorCode.allCases.map(\.name))
        #expect(names.count == ErrorCode.allCases.count)
    }

    @Test func quotesAtMost40EscapedBytesOfAMethod() {
        let error = RPCError.methodNotFound("a\u{1B}" + String(repeating: "x", count: 100))
        #expect(error.message == #"Method not found: a\x1b"# + String(repeating: "x", count: 38) + "…")
    }

    @Test func namesTheNearestMethod() {
        let error = RPCError.methodNotFound("pingg", nearest: "ping")
        #expect(error.message == "Method not found: pingg")
        #expect(error.value(requestID: nil)["data"]?["suggestion"] == "ping")
    }

    @Test func namesThePathOfABadParam() {
        let error = RPCError.invalidParams("options.top_k", "expected 1 to 100")
        #expect(error.message == "Invalid params: options.top_k: expected 1 to 100")
        #expect(error.details == [.init("path", "options.top_k")])
    }
}
