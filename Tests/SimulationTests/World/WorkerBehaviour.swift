import Protocol

@testable import Supervisor

/// What a virtual worker does with one call.
enum WorkerBehaviour: CaseIterable {
    case answer, answerSlowly, error, ownFault
    /// Dies with the call in flight.
    case crash
    /// Never says anything about it.
    case hang
    case answerTwice, answerAgainLater
    /// Answers a number that is none of ours, or no number, or a call that another worker has.
    case foreignReply, replyToAnothersCall
    case noiseThenAnswer, flood, halfLine
    case unreadable, garbageReply, oversizeReply, deepReply
    case changeCapabilities, askTheSupervisor
    case closeOutputAndDie, closeOutputAndLive, closeInput, stopReading
    case grow
    /// Answers in chunks, perhaps with a last one of its own; then what the name says, or the answer.
    case stream, streamThenError, streamThenHang, streamThenCrash, streamOn

    static let streams: [WorkerBehaviour] = [
        .stream, .stream, .streamThenError, .streamThenHang, .streamThenCrash, .streamOn,
    ]

    /// Those that talk garbage.
    static let garbage: [WorkerBehaviour] = [
        .unreadable, .garbageReply, .oversizeReply, .deepReply, .foreignReply, .replyToAnothersCall,
        .halfLine,
        .answerTwice, .answerAgainLater, .noiseThenAnswer, .askTheSupervisor,
    ]
}

/// The nature of one process, drawn when it is started.
struct WorkerTemper {
    /// What becomes of it before its first call.
    enum Start: CaseIterable {
        case answers
        /// Exits at once, or a moment after it was ready.
        case dies, diesAfterReady
        case cannotBeStarted
        case neverReady
        /// Says twice that it is unhealthy, then that it is well.
        case unhealthyFirst
        /// Answers −32601 to `health.check`: alive, without capabilities.
        case knowsNoHealth
        case floods
        case closesOutput
        case saysNonsense
    }

    var start = Start.answers
    var declares: Declaration
    var ignoresTerm = false
    var ignoresEnd = false
    var ignoresCancel = false

    /// What it declares of itself.
    struct Declaration {
        var concurrency: Int
        var honoursCancel: Bool

        init(_ random: inout SeededGenerator) {
            self.concurrency = Int.random(in: 1...4, using: &random)
            self.honoursCancel = Bool.random(using: &random)
        }
    }

    init(_ weather: Weather, isLooping: Bool, _ random: inout SeededGenerator) {
        func happens(_ chance: Double) -> Bool { Double.random(in: 0..<1, using: &random) < chance }
        self.declares = Declaration(&random)
        if weather.loopingSlot == nil || isLooping, happens(weather.badStart) {
            self.start = weather.badStarts.randomElement(using: &random) ?? .answers
        }
        if happens(weather.failedSpawn) { self.start = .cannotBeStarted }
        self.ignoresTerm = happens(weather.stubborn)
        self.ignoresEnd = happens(weather.stubborn)
        self.ignoresCancel = happens(weather.stubborn)
    }
}

/// What comes out of a worker, and when.
struct WorkerOutput {
    enum Meaning {
        case reply(UInt64, Reply)
        /// nil: says nothing of capabilities
        case health(UInt64, WorkerTemper.Declaration?)
        case foreignReply
        case chunk(UInt64, isFinal: Bool)
        /// one that cannot be passed on
        case badChunk
        case noise
        case capabilities(WorkerTemper.Declaration)
        /// the worker asks, and must get an answer with that id
        case question(Int64)
    }

    enum Reply { case result, error, unreadable }

    var after: Nanoseconds
    var line: [UInt8]
    var meaning: Meaning
    /// Only its beginning is there.
    var isOversize = false
    /// It names a call of another worker.
    var isForged = false

    init(after: Nanoseconds, _ line: String, _ meaning: Meaning) {
        self.after = after
        self.line = Array(line.utf8)
        self.meaning = meaning
    }
}

/// What a worker does besides writing.
enum WorkerAct {
    case none
    case crash(after: Nanoseconds)
    case closeOutput(after: Nanoseconds, dies: Bool)
    case closeInput(after: Nanoseconds)
    case stopReading(for: Nanoseconds)
    case grow
}
