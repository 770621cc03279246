import Protocol

@testable import Supervisor

/// P1: every call gets one answer, when it must have one at the latest, and never a timeout before its time. What a
/// worker is told of the time left is true. Each answer is counted once.
struct AnswerJudge: Judge {
    static let promise = Promise.oneAnswer
    private var gone: Set<Int> = []
    private(set) var isTested = false

    mutating func observe(_ observation: Observation, _ ledger: Ledger) -> String? {
        switch observation {
        case .answered(let answer, let nonce):
            guard let nonce, let call = ledger.calls[nonce] else {
                return "client \(answer.client) got a second or foreign answer to \(answer.id)"
            }
            return self.judge(answer, call, ledger)
        case .sent(let nonce, _, let left, _):
            guard let call = ledger.calls[nonce] else { return nil }
            return Self.judge(sent: call, left, ledger)
        case .told(let nonce, _):
            guard let call = ledger.calls[nonce] else { return nil }
            if call.attempts > 0 { return "a notification was told twice" }
            return ledger.now < call.deadline ? nil : "a notification was told after its deadline"
        case .clientLeft(let index):
            self.gone.insert(index)
            return nil
        default: return nil
        }
    }

    private mutating func judge(_ answer: Answer, _ call: Ledger.Call, _ ledger: Ledger) -> String? {
        let now = ledger.now
        if now > call.due.advanced(by: ledger.lag) {
            return "\(call.method) was answered \(now.duration(since: call.due)) ns after its deadline"
        }
        guard !call.isInBatch else { return nil }
        if answer.reason == "deadline_exceeded" {
            self.isTested = true
            if now < call.deadline {
                return "\(call.method) timed out \(call.deadline.duration(since: now)) ns too early"
            }
        }
        if answer.reason == "stream_idle" {
            let since = call.stream.lastAt ?? call.dispatchedAt
            let idle = ledger.configuration.timeouts.streamIdle
            let waited = now.duration(since: since)
            return waited >= idle && waited <= idle + ledger.lag
                ? nil : "\(call.method) was ended after \(waited) ns without a chunk, not \(idle)"
        }
        guard answer.reason == "queue_timeout" else { return nil }
        let patience = ledger.configuration.loadBalancer.queueTimeout
        let waited = now.duration(since: call.queuedAt)
        return waited >= patience && waited <= patience + ledger.lag
            ? nil : "\(call.method) waited \(waited) ns in the queue, not \(patience)"
    }

    private static func judge(sent call: Ledger.Call, _ left: Int64?, _ ledger: Ledger) -> String? {
        if call.isAnswered { return "\(call.method) was sent to a worker after its answer" }
        let expected = call.deadline.duration(since: ledger.now).millisecondsRoundedUp
        guard left == expected, expected >= 1 else {
            return "a worker was told \(left ?? -1) ms of \(expected) ms left"
        }
        return nil
    }

    private static func judge(counted history: CallHistory, _ ledger: Ledger) -> String? {
        let names = (0...CallHistory.methods).map { "\($0)" }
        let figures = history.report(nil, names: names, now: ledger.now.nanoseconds)
        let counted = figures["total_requests"]?.integerValue ?? 0
        let isRight = ledger.hasStalled ? counted >= ledger.answers : counted == ledger.answers
        return isRight ? nil : "\(ledger.answers) calls were answered, \(counted) counted"
    }

    func judgeEnd(_ ledger: Ledger, _ core: borrowing SupervisorCore) -> String? {
        let waiting = ledger.calls.values.filter {
            !$0.isAnswered && !$0.isNotification && !self.gone.contains($0.client)
        }
        guard let call = waiting.min(by: { $0.sentAt < $1.sentAt }) else {
            return Self.judge(counted: core.history, ledger)
        }
        return "client \(call.client) was never answered its \(call.method), nor \(waiting.count - 1) others"
    }
}
