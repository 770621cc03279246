import Protocol

/// What one round of a load came to.
struct LoadFigures {
    /// Errors of one code.
    struct Tally: Equatable {
        var code: Int64
        var count = 1
        /// That of the first.
        var message: String
    }

    /// Calls answered with a result.
    var results = 0
    /// By code, in the order in which they first came.
    var errors: [Tally] = []
    /// Calls that were sent, and not answered in time.
    var unanswered = 0
    /// Calls that were due and never sent, because as many as allowed were in flight.
    var unsent = 0
    /// Answers to calls that nobody had made, or that were answered already.
    var strays = 0
    /// Results that came within the window, whenever their calls were sent.
    var arrivals = 0
    /// The same with the errors.
    var answers = 0
    var window: Nanoseconds = 0
    /// Of results, and of calls that were unanswered or unsent, as long as these had waited.
    var latencies = LatencyHistogram()
    /// Processor time within the window; nil when it was not looked at.
    var processorTime: ProcessorTime?
    /// Why the round was cut short.
    var failure: String?

    var errorCount: Int { self.errors.reduce(0) { $0 + $1.count } }
    var calls: Int { self.results + self.errorCount + self.unanswered + self.unsent }

    /// Whether there is nothing to divide by.
    var isFailed: Bool { self.failure != nil || self.arrivals == 0 || self.window <= 0 }

    mutating func count(error: UnsafeRawBufferPointer) {
        let code = ParamsReader.value("code", in: error).flatMap {
            Int64(String(decoding: $0, as: UTF8.self))
        }
        if let index = self.errors.firstIndex(where: { $0.code == code ?? 0 }) {
            self.errors[index].count += 1
        } else {
            self.errors.append(
                Tally(code: code ?? 0, message: ParamsReader.string("message", in: error) ?? ""))
        }
    }

    /// Adds another round's counts and latencies.
    mutating func merge(_ other: LoadFigures) {
        self.results += other.results
        self.unanswered += other.unanswered
        self.unsent += other.unsent
        self.strays += other.strays
        self.arrivals += other.arrivals
        self.answers += other.answers
        self.window += other.window
        self.latencies.merge(other.latencies)
        for tally in other.errors {
            if let index = self.errors.firstIndex(where: { $0.code == tally.code }) {
                self.errors[index].count += tally.count
            } else {
                self.errors.append(tally)
            }
        }
    }
}

/// Processor time of the three that a call keeps busy, in nanoseconds.
struct ProcessorTime: Equatable {
    /// nil: it cannot be seen, such as a process of another container.
    var supervisor: Nanoseconds?
    /// Of all workers and their children; nil also when one of them ended meanwhile.
    var workers: Nanoseconds?
    var client: Nanoseconds

    func since(_ earlier: ProcessorTime) -> ProcessorTime {
        func difference(_ now: Nanoseconds?, _ before: Nanoseconds?) -> Nanoseconds? {
            guard let now, let before, now >= before else { return nil }
            return now - before
        }
        return ProcessorTime(
            supervisor: difference(self.supervisor, earlier.supervisor),
            workers: difference(self.workers, earlier.workers), client: self.client - earlier.client)
    }
}

/// The processes whose processor time is looked at.
struct MeasuredProcesses {
    var supervisor: Int32
    /// Empty: they cannot be told.
    var workers: [Int32]

    var processorTime: ProcessorTime {
        let workers = self.workers.map { ProcessTable.usage(ofTree: $0)?.processorTime }
        let areSeen = !workers.isEmpty && !workers.contains(nil)
        return ProcessorTime(
            supervisor: ProcessTable.processorTime(of: self.supervisor),
            workers: areSeen ? workers.reduce(0) { $0 + ($1 ?? 0) } : nil, client: Clock.processorTime)
    }
}
