import Testing

@testable import Protocol

@Suite struct CallHistoryTests {
    private static let second: Int64 = 1_000_000_000
    private static let names = ["other"] + (1...CallHistory.methods).map { "m\($0)" }

    /// A call as a list remembers it.
    private struct Call {
        var at: Int64
        var method: Int
        var nanoseconds: Int64
        var isError: Bool
    }

    private static func report(_ history: CallHistory, _ range: MetricsTimeRange?, _ now: Int64) -> JSONValue
    {
        history.report(range, workerID: "w", names: self.names, now: now)
    }

    private static func admit(_ name: String, to history: inout CallHistory, now: Int64) throws -> Int {
        let place = history.admit(name, now: now)
        return try #require(place)
    }

    @Test func agreesExactlyWithAListOfAHundredThousandCalls() throws {
        var random = SplitMix64(seed: 1)
        var history = CallHistory(now: 0)
        var calls: [Call] = []
        var now: Int64 = 0
        for _ in 0..<100_000 {
            now += Int64.random(in: 0..<2_000_000, using: &random)
            let call = Call(
                at: now, method: Int.random(in: 0..<6, using: &random),
                nanoseconds: 1000
                    + Int64.random(in: 0..<1 << Int64.random(in: 4...34, using: &random), using: &random),
                isError: Int.random(in: 0..<10, using: &random) == 0)
            history.record(
                method: call.method, nanoseconds: call.nanoseconds, isError: call.isError, now: now)
            calls.append(call)
        }
        let report = Self.report(history, nil, now)
        #expect(report["total_requests"]?.integerValue == 100_000)
        let errors = calls.count { $0.isError }
        #expect(report["total_errors"]?.integerValue == Int64(errors))
        #expect(report["error_rate"]?.doubleValue == (Double(errors) * 10).rounded() / 1e6)
        for method in 0..<6 {
            let own = calls.filter { $0.method == method }
            let figures = try #require(report["by_type"]?[Self.names[method]])
            try Self.check(figures, own.map(\.nanoseconds), errors: own.count { $0.isError })
        }
    }

    private static func check(_ figures: JSONValue, _ durations: [Int64], errors: Int) throws {
        let sorted = durations.sorted()
        #expect(figures["count"]?.integerValue == Int64(sorted.count))
        #expect(figures["errors"]?.integerValue == Int64(errors))
        #expect(figures["min_time_ms"]?.doubleValue == Double(sorted[0]) / 1e6)
        #expect(figures["max_time_ms"]?.doubleValue == Double(sorted[sorted.count - 1]) / 1e6)
        let average = Double(sorted.reduce(0, +)) / Double(sorted.count) / 1e6
        #expect(abs(try #require(figures["avg_time_ms"]?.doubleValue) - average) < 1e-6)
        for (name, share) in [("p50_time_ms", 0.5), ("p95_time_ms", 0.95), ("p99_time_ms", 0.99)] {
            let truth = Double(sorted[Int((share * Double(sorted.count)).rounded(.up)) - 1]) / 1e6
            let found = try #require(figures[name]?.doubleValue)
            #expect(abs(found - truth) <= truth / 100, "\(name): \(found) for \(truth)")
        }
    }

    /// The clock creeps, walks and leaps over days; each range has all that lies in it, and at most a sixtieth more.
    @Test(arguments: 0..<3) func coversEachRangeOverDaysOfLeaps(seed: Int) throws {
        var random = SplitMix64(seed: UInt64(seed))
        var history = CallHistory(now: 0)
        var times: [Int64] = []
        var now: Int64 = 0
        for step in 0..<1500 {
            let most: [Int64] = [
                10_000_000, Self.second, 30 * Self.second, 900 * Self.second, 40_000 * Self.second,
            ]
            now += Int64.random(in: 0..<most[Int.random(in: 0..<most.count, using: &random)], using: &random)
            history.record(method: 1, nanoseconds: 5, isError: false, now: now)
            times.append(now)
            guard step % 50 == 49 else { continue }
            let later = now + Int64.random(in: 0..<100 * Self.second, using: &random)
            for range in MetricsTimeRange.allCases {
                let report = Self.report(history, range, later)
                let found = try #require(report["total_requests"]?.integerValue)
                let start = later - range.nanoseconds
                let least = times.count { $0 > start }
                let most = times.count { $0 > start - range.nanoseconds / 60 }
                #expect((Int64(least)...Int64(most)).contains(found), "\(range) in step \(step)")
                let seconds = try #require(report["window"]?["seconds"]?.doubleValue)
                #expect(seconds <= Double(range.seconds) * 61 / 60 + 0.001)
                let covered = later - Int64(seconds * 1e9)
                #expect(found >= Int64(times.count { $0 > covered + 1_000_000 }))
            }
            #expect(Self.report(history, nil, later)["total_requests"]?.integerValue == Int64(times.count))
        }
        #expect(history.bytes < 100_000)
    }

    @Test func forgetsAllOnAReset() {
        var history = CallHistory(now: 0)
        history.record(method: 1, nanoseconds: 5, isError: true, now: Self.second)
        #expect(
            Self.report(history, nil, 3 * Self.second)["window"]
                == ["time_range": .null, "since": "start", "seconds": 3.0])
        history.reset(now: 3 * Self.second)
        let report = Self.report(history, .minute, 5 * Self.second)
        #expect(report["total_requests"] == 0)
        #expect(report["error_rate"] == 0.0)
        #expect(report["by_type"] == [:])
        #expect(report["window"] == ["time_range": "1m", "since": "reset", "seconds": 2.0])
        history.record(method: 1, nanoseconds: 5, isError: true, now: 6 * Self.second)
        #expect(Self.report(history, nil, 6 * Self.second)["total_errors"] == 1)
    }

    @Test func takesNothingBeforeTheFirstCallAndLittleAfterIt() {
        var history = CallHistory(now: 0)
        #expect(history.bytes == 32)
        for call in Int64(0)..<1000 {
            history.record(method: 3, nanoseconds: 1_000_000 + call, isError: false, now: call)
        }
        #expect(history.bytes < 4096)
    }

    // MARK: Workers

    @Test func tellsWorkersApartBesideTheWhole() throws {
        var history = CallHistory(now: 0)
        let first = try Self.admit("one", to: &history, now: 0)
        let second = try Self.admit("two", to: &history, now: 0)
        for call in 0..<10 {
            history.record(method: 1, nanoseconds: 7, isError: false, now: Self.second)
            let worker = call < 3 ? first : second
            history.record(
                worker: worker, method: call < 3 ? 1 : 2, nanoseconds: 5, isError: call == 0, now: Self.second
            )
        }
        let report = history.report(.minute, names: Self.names, now: 3 * Self.second)
        #expect(report["total_requests"] == 10)
        #expect(report["total_errors"] == 0)
        #expect(report["by_type"]?.objectValue?.map(\.name) == ["m1"])
        #expect(report["workers"]?.objectValue?.map(\.name) == ["one", "two"])
        let one = report["workers"]?["one"]
        #expect(one?["total_requests"] == 3)
        #expect(one?["total_errors"] == 1)
        #expect(one?["age_seconds"] == 2.0)
        #expect(one?["by_type"]?["m1"]?["count"] == 3)
        #expect(report["workers"]?["two"]?["by_type"]?["m2"]?["count"] == 7)
    }

    @Test func keepsTheFiguresOfTheWorkersThatWentLast() throws {
        var history = CallHistory(now: 0)
        for number in 0..<200 {
            let now = Int64(number) * Self.second
            let place = try Self.admit("w\(number)", to: &history, now: now)
            history.record(worker: place, method: 1, nanoseconds: 5, isError: false, now: now)
            history.retire(worker: place, now: now)
        }
        let report = history.report(nil, names: Self.names, now: 200 * Self.second)
        let workers = try #require(report["workers"]?.objectValue)
        #expect(Set(workers.map(\.name)) == Set((136..<200).map { "w\($0)" }))
        #expect(workers.allSatisfy { $0.value["total_requests"] == 1 })
    }

    @Test func hasNoPlaceForAWorkerWhileAllOthersLive() throws {
        var history = CallHistory(now: 0)
        for number in 0..<64 { _ = try Self.admit("w\(number)", to: &history, now: 0) }
        let oneTooMany = history.admit("one too many", now: 1)
        #expect(oneTooMany == nil)
        history.retire(worker: 5, now: 2)
        #expect(try Self.admit("one more", to: &history, now: 3) == 5)
    }

    @Test func showsThoseThatAreGoneOnlyWhereTheyHadCalls() throws {
        var history = CallHistory(now: 0)
        let gone = try Self.admit("gone", to: &history, now: 0)
        _ = try Self.admit("idle", to: &history, now: 0)
        history.record(worker: gone, method: 1, nanoseconds: 5, isError: false, now: 0)
        history.retire(worker: gone, now: 0)
        func names(_ range: MetricsTimeRange?) -> [String]? {
            history.report(range, names: Self.names, now: 100 * Self.second)["workers"]?.objectValue?.map(
                \.name)
        }
        #expect(names(.minute) == ["idle"])
        #expect(names(nil) == ["gone", "idle"])
    }

    // MARK: Memory

    /// Eight days of 200 methods on 64 workers, every call with a latency that no other has, at a sixteenth of the
    /// limit and of the load that it takes to reach it.
    @Test func staysWithinItsMemoryWhateverItIsGiven() throws {
        let limit = FiguresTimeline.byteLimit / 16
        var random = SplitMix64(seed: 3)
        var history = CallHistory(now: 0, byteLimit: limit)
        let places = try (0..<64).map { try Self.admit("w\($0)", to: &history, now: 0) }
        var (now, calls, most, coarsest): (Int64, Int64, Int, Int) = (0, 0, 0, 0)
        while now < 8 * 86_400 * Self.second {
            for _ in 0..<60 {
                let method = Int.random(in: 0...CallHistory.methods, using: &random)
                let latency = Int64.random(
                    in: 0..<1 << Int64.random(in: 8...46, using: &random), using: &random)
                history.record(method: method, nanoseconds: latency, isError: false, now: now)
                history.record(
                    worker: places[Int.random(in: 0..<64, using: &random)], method: method,
                    nanoseconds: latency, isError: false, now: now)
                calls += 1
            }
            most = max(most, history.closed.bytes)
            coarsest = max(coarsest, history.closed.coarseness)
            #expect(history.open.bytes <= OpenFigures.byteLimit + 8192)
            now += Int64.random(in: 1...3600, using: &random) * Self.second
        }
        #expect(most <= limit)
        #expect(most > limit / 2 && coarsest > 0, "nothing puts the limit to the test any more")
        let report = history.report(nil, names: Self.names, now: now)
        #expect(report["total_requests"]?.integerValue == calls)
        let byWorker = report["workers"]?.objectValue?.compactMap {
            $0.value["total_requests"]?.integerValue
        }
        #expect(byWorker?.reduce(0, +) == calls)
    }

    @Test func isNotAllowedMoreThanEightMebibytes() {
        #expect(FiguresTimeline.byteLimit + OpenFigures.byteLimit <= 8 << 20)
    }

    @Test func closesASecondEarlyThatTakesTooMuch() throws {
        var random = SplitMix64(seed: 4)
        var history = CallHistory(now: 0)
        for _ in 0..<20_000 {
            history.record(
                method: Int.random(in: 0...CallHistory.methods, using: &random),
                nanoseconds: Int64.random(
                    in: 0..<1 << Int64.random(in: 8...46, using: &random), using: &random),
                isError: false, now: 7)
            #expect(history.open.bytes <= OpenFigures.byteLimit + 8192)
        }
        #expect(history.closed.slotCount > 0)
        #expect(Self.report(history, .minute, 8)["total_requests"] == 20_000)
    }

    /// What the last resort needs: two slots of everything there can be.
    @Test func hasRoomForTwoSlotsOfTheWorst() {
        var figures = CallFigures()
        for bucket in 0..<LatencyHistogram.bucketCount { figures.latency.add(1 << 27, to: bucket) }
        figures.latency.note(count: .max / 2, sum: .max, least: .max, maximum: .max)
        var encoded = EncodedFigures()
        encoded.append(CallSeries(source: .max, method: 200), figures)
        #expect(
            encoded.bytes.count * (OpenFigures.methods + CallHistory.workers) * 2 * 9 / 8
                < FiguresTimeline.byteLimit)
    }

    @Test func becomesFineAgainWhenTheLoadIsOver() {
        var random = SplitMix64(seed: 6)
        // What is kept counts with the memory that malloc gave for it: far from the limit, and from half of it.
        var timeline = FiguresTimeline(byteLimit: 200_000)
        func append(_ series: Int, at second: Int64) {
            var encoded = EncodedFigures()
            for method in 0..<series {
                var figures = CallFigures()
                for _ in 0..<10 {
                    figures.record(nanoseconds: Int64.random(in: 0..<1 << 40, using: &random), isError: false)
                }
                encoded.append(CallSeries(source: 0, method: UInt8(method)), figures)
            }
            timeline.append(
                encoded, start: second * Self.second, end: (second + 1) * Self.second,
                now: (second + 1) * Self.second, isKept: { _ in true })
        }
        for second in Int64(0)..<300 where timeline.coarseness == 0 { append(50, at: second * 1800) }
        #expect(timeline.coarseness > 0)
        for second in Int64(0)..<800 { append(1, at: 2_000_000 + second) }
        #expect(timeline.coarseness == 0)
    }
}
