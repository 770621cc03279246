@testable import Supervisor

/// What the simulation holds the supervisor to. Each has one judge, and a violation names its promise.
enum Promise: String, CaseIterable, Sendable {
    /// Every call gets one answer, in time.
    case oneAnswer = "P1"
    /// Every answer is its caller's own; late, second and foreign replies are dropped and counted.
    case noCrossTalk = "P2"
    /// A crash costs the calls on that worker, at once, and no other.
    case crashIsolated = "P3"
    /// A worker that dies at every start is tried by the backoff, then rarely; the others go on.
    case crashLoopBounded = "P4"
    /// A worker that hangs keeps its slots until it is gone, is gone in time, and no slot is counted wrong.
    case hungWorkerBounded = "P5"
    /// Too many calls are refused at once; what can be done is done.
    case overloadSheds = "P6"
    /// One who does not read holds up nobody else, and is not buffered for without end.
    case nobodyWedges = "P7"
    /// Garbage is answered with the right error or survived; nothing of it reaches a worker.
    case garbageKillsNothing = "P8"
    /// Noise on a worker's stdout is counted; a flood costs the worker its place.
    case noiseSurvived = "P9"
    /// Every process that was started is ended, each step of the ladder in time.
    case noOrphans = "P10"
    /// Exchanging, adding and taking away workers costs no call and no capacity.
    case nothingIsLost = "P11"
    /// A stop answers everybody, starts nothing, and ends within the grace.
    case gracefulStop = "P12"
    /// A cancelled call is cancelled at its worker, once, and its slot comes back.
    case cancelIsReal = "P13"
    /// Chunks come in order, each stream ends with one final chunk before its one answer, and nothing follows.
    case wholeStreams = "streams"
    /// What the protocol says besides: routes, members of answers, who may do what.
    case contract = "protocol"
}

/// A promise that a world saw broken.
struct Violation: CustomStringConvertible {
    let promise: Promise
    /// What was seen, in a sentence.
    let what: String
    /// Since the world began.
    var moment: Nanoseconds = 0

    init(_ promise: Promise, _ what: String) {
        self.promise = promise
        self.what = what
    }

    var description: String { "\(self.promise.rawValue) at \(self.moment.inSeconds) s: \(self.what)" }
}
