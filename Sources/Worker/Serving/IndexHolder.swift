/// The index that requests are answered from, and its replacement when a new one is published.
///
/// A request keeps the index it began with; the last to let go of an old one unmaps it.
final class IndexHolder: Sendable {
    /// How often a newly published index is looked for, at most.
    private static let checkMilliseconds = 1_000.0

    private struct State {
        var index: SearchIndex?
        var failure: IndexError?
        /// The state of the publication when it was looked at last.
        var publication: FileStatus?
        var checked: MonotonicClock?
    }

    /// nil when no index is configured.
    let directory: IndexDirectory?
    private let state = Locked(State())
    private let onChange: @Sendable (SearchIndex?) -> Void

    /// - Parameter onChange: called when another index has come into force after the first look.
    init(directory: IndexDirectory?, onChange: @escaping @Sendable (SearchIndex?) -> Void = { _ in }) {
        self.directory = directory
        self.onChange = onChange
    }

    /// What there is at the moment.
    struct Snapshot {
        var index: SearchIndex?
        /// Why there is no index, or why a newer one could not be taken.
        var failure: IndexError?
    }

    /// The index in force, after a look whether it was replaced.
    ///
    /// A new index that cannot be opened, or one that has vanished, leaves the old one in service: it is
    /// mapped, and old answers are better than none.
    ///
    /// - Parameter isDue: look at once, however short the last look was ago.
    @discardableResult
    func current(now: MonotonicClock = .now, isDue: Bool = false) -> Snapshot {
        guard let directory = self.directory else {
            return Snapshot(failure: IndexError(reason: .missing, path: ""))
        }
        let (snapshot, isChanged) = self.state.withLock { state -> (Snapshot, Bool) in
            let isFirst = state.checked == nil
            let old = state.index?.generation
            self.refresh(&state, from: directory, now: now, isDue: isDue)
            let snapshot = Snapshot(index: state.index, failure: state.failure)
            return (snapshot, !isFirst && state.index?.generation != old)
        }
        if isChanged { self.onChange(snapshot.index) }
        return snapshot
    }

    private func refresh(
        _ state: inout State, from directory: IndexDirectory, now: MonotonicClock, isDue: Bool
    ) {
        if !isDue, state.index != nil, let checked = state.checked,
            now.milliseconds(since: checked) < Self.checkMilliseconds
        {
            return
        }
        let publication = directory.publication()
        let isKnown = state.checked != nil && publication == state.publication
        state.checked = now
        if isKnown, state.failure == nil || publication != nil { return }
        state.publication = publication
        do {
            state.index = try directory.open()
            state.failure = nil
        } catch {
            state.failure = error
        }
    }
}
