import Protocol

/// The calls that run or wait for a free slot. Whoever takes a call out of the table answers it, so that
/// every call is answered once: by its task, by a cancel, or at the end.
final class CallTable: Sendable {
    struct Key: Hashable, Comparable, Sendable {
        fileprivate var number: UInt64

        static func < (left: Key, right: Key) -> Bool { left.number < right.number }
    }

    /// What becomes of a new call.
    enum Admission: Equatable {
        case start(Key)
        /// It starts when another has ended.
        case waits
        /// There is no room: it was not taken.
        case full
    }

    private struct State {
        var lastNumber: UInt64 = 0
        var unanswered: [Key: IncomingCall] = [:]
        var waiting: [Key] = []
        var running = 0
        var isDraining = false
        /// Whether somebody was told that there is no room.
        var isRoomAwaited = false
    }

    private let state = Locked(State())
    private let slots: Int
    private let waitingLimit: Int
    private let idle = Signal()
    private let room = Signal()

    init(slots: Int, waitingLimit: Int) {
        self.slots = slots
        self.waitingLimit = waitingLimit
    }

    var activeCount: Int { self.state.withLock { $0.unanswered.count } }

    func admit(_ call: IncomingCall) -> Admission {
        self.state.withLock { state in
            guard state.running < self.slots || state.waiting.count < self.waitingLimit else {
                state.isRoomAwaited = true
                return .full
            }
            state.lastNumber += 1
            let key = Key(number: state.lastNumber)
            state.unanswered[key] = call
            guard state.running < self.slots else {
                state.waiting.append(key)
                return .waits
            }
            state.running += 1
            return .start(key)
        }
    }

    /// The call, while nobody has answered it.
    func call(_ key: Key) -> IncomingCall? { self.state.withLock { $0.unanswered[key] } }

    /// Takes a call in order to answer it; nil when it was answered already.
    func take(_ key: Key) -> IncomingCall? {
        self.state.withLock { $0.unanswered.removeValue(forKey: key) }
    }

    /// Takes the oldest call of that id in order to answer that it was cancelled.
    func takeOldest(id: [UInt8]) -> IncomingCall? {
        id.withUnsafeBytes { id in
            self.state.withLock { state in
                let matching = state.unanswered.filter { entry in
                    entry.value.id.withUnsafeBytes { RequestIdentifier.areEqual($0, id) }
                }
                guard let key = matching.keys.min() else { return nil }
                state.waiting.removeAll { $0 == key }
                return state.unanswered.removeValue(forKey: key)
            }
        }
    }

    /// Gives back the slot of a call that has ended.
    ///
    /// - Returns: the call that has waited longest; its slot is taken.
    func finish() -> Key? {
        let (next, isIdle, hasRoom) = self.state.withLock { state -> (Key?, Bool, Bool) in
            let hasRoom = state.isRoomAwaited
            state.isRoomAwaited = false
            guard state.waiting.isEmpty else { return (state.waiting.removeFirst(), false, hasRoom) }
            state.running -= 1
            return (nil, state.running == 0 && state.isDraining, hasRoom)
        }
        if hasRoom { self.room.raise() }
        if isIdle { self.idle.raise() }
        return next
    }

    /// After `full`: waits until a call has ended.
    func waitForRoom() { self.room.wait() }

    /// Waits until nothing runs and nothing waits.
    ///
    /// - Returns: what is still unanswered after that time, taken.
    func drain(milliseconds: Int64) -> [IncomingCall] {
        let isIdle = self.state.withLock { state in
            state.isDraining = true
            return state.running == 0
        }
        if !isIdle { self.idle.wait(milliseconds: milliseconds) }
        return self.state.withLock { state in
            defer { state.unanswered.removeAll() }
            return Array(state.unanswered.values)
        }
    }
}
