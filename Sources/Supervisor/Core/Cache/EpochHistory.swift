import Protocol

/// The epochs of a pool's workers: words by which they say what their answers were computed from (protocol §5).
///
/// An epoch that is not among the last 64 becomes the pool's. An older one is an index rolled back, or a worker that
/// has not taken the new one yet: it becomes the pool's when no ready worker declares the present one any more.
///
///     declared: a, b (new), a by a worker that lags     present: b
///     the last worker that declares b leaves            present: a
struct EpochHistory {
    /// An epoch by its hash: a word may be as long as a message, and 64 of them are kept for ever. The hash of a word is
    /// the same in every process; that there is no word is an epoch like any other.
    struct Epoch: Hashable, Sendable {
        let hash: UInt64
        init(_ word: String?) { self.hash = word.map { XXHash64.hash(Array($0.utf8)) } ?? 0 }
    }

    static let capacity = 64

    /// In the order in which they became the pool's, the present one last; at least one.
    private var epochs = [Epoch(nil)]

    var present: Epoch { self.epochs[self.epochs.count - 1] }

    /// A worker declares an epoch.
    ///
    /// - Returns: whether it has become the pool's.
    mutating func declare(_ epoch: Epoch) -> Bool {
        guard !self.epochs.contains(epoch) else { return false }
        self.adopt(epoch)
        return true
    }

    /// - Parameter declared: what the ready workers declare, each known already.
    /// - Returns: whether an older epoch has become the pool's.
    mutating func review(_ declared: [Epoch]) -> Bool {
        guard !declared.isEmpty, !declared.contains(self.present),
            let latest = self.epochs.last(where: declared.contains)
        else { return false }
        self.adopt(latest)
        return true
    }

    private mutating func adopt(_ epoch: Epoch) {
        self.epochs.removeAll { $0 == epoch }
        if self.epochs.count == Self.capacity { self.epochs.removeFirst() }
        self.epochs.append(epoch)
    }
}
