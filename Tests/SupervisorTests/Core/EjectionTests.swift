import Testing

@testable import Supervisor

/// When a worker is out of balancing: the machine alone.
@Suite struct EjectionTests {
    private static let call = RequestToken(index: 1, generation: 1)
    private static let other = RequestToken(index: 2, generation: 1)
    private static func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: .seconds(seconds)) }

    /// Ejected at 0 s for so many times in a row, without any success.
    private static func ejected(times: Int) -> Ejection {
        var ejection = Ejection()
        for _ in 0..<4 { #expect(ejection.callFailed(self.call, at: self.at(0)) == .none) }
        #expect(ejection.callFailed(self.call, at: self.at(0)) == .eject)
        _ = ejection.eject(at: self.at(0))
        for _ in 1..<max(times, 1) {
            ejection.sent(self.call)
            _ = ejection.callFailed(self.call, at: self.at(0))
        }
        return ejection
    }

    @Test(arguments: [(1, 5), (2, 10), (3, 15), (59, 295), (60, 300), (61, 300), (500, 300)])
    func lastsFiveSecondsMoreEachTimeInARow(times: Int, seconds: Int64) {
        #expect(Self.ejected(times: times).term?.length == .seconds(seconds))
    }

    @Test func startsAnewWithASuccessInBetween() {
        var ejection = Ejection()
        for _ in 0..<4 { _ = ejection.callFailed(Self.call, at: Self.at(0)) }
        #expect(ejection.callSucceeded(Self.call) == .none)
        for _ in 0..<4 { #expect(ejection.callFailed(Self.call, at: Self.at(0)) == .none) }
        #expect(ejection.admission(at: Self.at(0)) == .all)
    }

    @Test func countsFailedChecksWithFailedCalls() {
        var ejection = Ejection()
        for _ in 0..<4 { #expect(ejection.checkFailed() == .none) }
        #expect(ejection.callFailed(Self.call, at: Self.at(0)) == .eject)
    }

    @Test func endsOnlyTheRowOfChecksWithACheckThatSucceeds() {
        var ejection = Ejection()
        for _ in 0..<4 { _ = ejection.callFailed(Self.call, at: Self.at(0)) }
        #expect(ejection.checkFailed() == .eject)
        ejection.checkSucceeded()
        #expect(ejection.checkFailed() == .eject, "the four calls still count")
        var checked = Ejection()
        for _ in 0..<40 {
            #expect(checked.checkFailed() == .none)
            checked.checkSucceeded()
        }
    }

    @Test func letsOneCallThroughWhenItsTimeIsOver() {
        var ejection = Self.ejected(times: 1)
        #expect(ejection.admission(at: Instant(nanoseconds: .seconds(5) - 1)) == .none)
        #expect(ejection.admission(at: Self.at(5)) == .one)
        ejection.sent(Self.call)
        #expect(ejection.admission(at: Self.at(60)) == .none)
    }

    @Test func isDecidedByThatCallAlone() {
        var ejection = Self.ejected(times: 1)
        #expect(ejection.callSucceeded(Self.other) == .none, "a call from before")
        #expect(ejection.callFailed(Self.other, at: Self.at(1)) == .none)
        #expect(ejection.term?.until == Self.at(5))
        ejection.sent(Self.call)
        #expect(ejection.callSucceeded(Self.other) == .none)
        #expect(ejection.callFailed(Self.other, at: Self.at(6)) == .none)
        #expect(ejection.checkFailed() == .none)
        ejection.checkSucceeded()
        #expect(ejection.state == .probing(.init(number: 1, since: Self.at(0)), Self.call))
        #expect(ejection.callSucceeded(Self.call) == .readmitted)
        #expect(ejection.state == .serving(.init()))
    }

    @Test func isOutForLongerWhenThatCallFails() {
        var ejection = Self.ejected(times: 1)
        ejection.sent(Self.call)
        let next = Ejection.Term(number: 2, since: Self.at(7))
        #expect(ejection.callFailed(Self.call, at: Self.at(7)) == .ejectedAgain(next))
        #expect(next.until == Self.at(17))
        #expect(ejection.admission(at: Self.at(16)) == .none)
    }

    @Test func waitsForTheNextCallWhenThatOneWasGivenUpOn() {
        var ejection = Self.ejected(times: 1)
        ejection.sent(Self.call)
        ejection.gaveUp(Self.other)
        #expect(ejection.admission(at: Self.at(6)) == .none)
        ejection.gaveUp(Self.call)
        #expect(ejection.admission(at: Self.at(6)) == .one)
        #expect(ejection.term?.number == 1)
    }

    @Test func goesOnCountingAfterARecall() {
        var ejection = Self.ejected(times: 2)
        ejection.recall()
        #expect(ejection.admission(at: Self.at(0)) == .all)
        for _ in 0..<4 { #expect(ejection.callFailed(Self.call, at: Self.at(1)) == .none) }
        #expect(ejection.callFailed(Self.call, at: Self.at(1)) == .eject)
        #expect(ejection.eject(at: Self.at(1)).number == 3, "it has proven nothing in between")
    }
}
