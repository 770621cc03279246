import Protocol

/// The supervisor that is measured, as it describes itself.
struct BenchTarget {
    let path: String
    let pid: Int32
    let status: JSONValue

    private static let patience = Nanoseconds.seconds(5)

    /// Asks the first of these places where one listens.
    init(_ paths: [String]) throws(CommandFailure) {
        var client = try ControlClient.connect(to: paths)
        self.path = client.path
        self.pid = client.server.pid
        self.status = try Self.call("supervisor.status", "", &client)
    }

    private static func call(
        _ method: String, _ params: String, _ client: inout ControlClient
    ) throws(CommandFailure) -> JSONValue {
        let answer = try Answer(client.call(method, params: params, timeout: self.patience))
        if let error = answer.errorSentence { throw .failed("\(method): \(error)") }
        return answer.result ?? .null
    }

    var isHealthy: Bool { self.status["status"] == "healthy" }

    /// Whether a worker has failed to start again and again.
    var hasQuarantine: Bool { self.workers.contains { $0["state"] == "quarantined" } }

    private var workers: [JSONValue] {
        (self.status["pools"]?.arrayValue ?? []).flatMap { $0["workers"]?.arrayValue ?? [] }
    }

    var processes: MeasuredProcesses {
        MeasuredProcesses(
            supervisor: self.pid,
            workers: self.workers.compactMap { $0["pid"]?.integerValue.flatMap { Int32(exactly: $0) } })
    }

    /// `supervisor 0.1.0, pid 4242, 2 workers, /run/supervisor.sock`
    var text: String {
        let count = self.processes.workers.count
        return "supervisor \(StatusTable.word(self.status["version"])), pid \(self.pid), "
            + "\(count) worker\(count == 1 ? "" : "s"), \(self.path)"
    }

    /// How often a method was called so far, by the supervisor's own count.
    func callCount(_ methods: [String]) throws(CommandFailure) -> [Int64] {
        var client = try ControlClient.connect(to: [self.path])
        let metrics = try Self.call("metrics.get", "{\"scope\":\"pool\"}", &client)
        return methods.map { metrics["by_type"]?[$0]?["count"]?.integerValue ?? 0 }
    }

    /// Look-ups in the response cache so far, and those of them that it answered.
    var cacheLookups: (all: Int64, answered: Int64) {
        let cache = self.status["cache"]?["response"]
        func count(_ name: String) -> Int64 { cache?[name]?.integerValue ?? 0 }
        let answered = count("hits") + count("stale_hits") + count("coalesced")
        return (answered + count("misses"), answered)
    }

    /// The share of look-ups since then that the cache answered; nil without any.
    func cacheShare(since earlier: BenchTarget) -> Double? {
        let (now, before) = (self.cacheLookups, earlier.cacheLookups)
        guard now.all > before.all else { return nil }
        return Double(now.answered - before.answered) / Double(now.all - before.all)
    }
}
