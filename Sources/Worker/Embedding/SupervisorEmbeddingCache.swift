import Protocol

/// The supervisor's embedding cache, as its workers use it: `embedding_cache.get` and `.put`.
///
/// It is never a reason to fail: whatever goes wrong with it, the caller embeds the text itself.
final class SupervisorEmbeddingCache: Sendable {
    /// How long the supervisor may take to answer. It needs microseconds; one that is so busy that it does not
    /// answer in that time is not helped by more questions.
    static let patienceMilliseconds: Int64 = 250
    /// Questions without an answer, in a row, after which no more are asked for a while: an older supervisor takes what
    /// a `prepare` says for something to be logged.
    static let unansweredLimit = 3
    static let pauseMilliseconds: Int64 = 60_000
    /// Bytes of texts in one message at most, however many they are; escaped they may be six times as long.
    static let textBytes = 1 << 20
    /// Bytes of vectors in one message at most.
    static let vectorBytes = 4 << 20
    /// Taken where the length of the vectors is not known yet.
    private static let assumedDimensions = 4_096

    private struct State {
        var isRefused = false
        var unanswered = 0
        var silentUntil: MonotonicClock?
    }

    private let calls: SupervisorCalls
    private let patience: Int64
    private let warn: @Sendable (String) -> Void
    private let state = Locked(State())

    /// - Parameter warn: told once of each kind of answer that cannot be used.
    init(
        _ calls: SupervisorCalls, patienceMilliseconds: Int64 = patienceMilliseconds,
        warn: @escaping @Sendable (String) -> Void = { Console.message($0) }
    ) {
        self.calls = calls
        self.patience = patienceMilliseconds
        self.warn = warn
    }

    /// What a look-up found.
    struct Findings {
        /// One a text; nil for those to be embedded.
        var vectors: [[Float]?]
        /// Whether the supervisor answered: only then is it told what was missing.
        var isAnswered: Bool
    }

    /// Looks texts up.
    ///
    /// - Parameter dimensions: how long a vector must be; nil: not known.
    func vectors(of texts: [String], model: String, dimensions: Int?) -> Findings {
        var findings = Findings(vectors: [[Float]?](repeating: nil, count: texts.count), isAnswered: false)
        for group in Self.groups(of: texts, dimensions: dimensions) {
            guard self.mayAsk(now: .now) else { break }
            let answer = self.calls.ask(
                "embedding_cache.get", params: Self.params(model, group.map { texts[$0] }),
                milliseconds: self.patience)
            guard let found = self.judge(answer, count: group.count) else { break }
            findings.isAnswered = true
            for (position, text) in group.enumerated() {
                findings.vectors[text] = self.vector(found[position], dimensions: dimensions)
            }
        }
        return findings
    }

    /// Tells what was embedded.
    ///
    /// - Parameter vectors: one a text, all equally long.
    func store(_ vectors: [[Float]], of texts: [String], model: String) {
        guard let dimensions = vectors.first?.count else { return }
        for group in Self.groups(of: texts, dimensions: dimensions) {
            var params = Self.params(model, group.map { texts[$0] })
            params.removeLast()
            MessageWriter.append(",\"embeddings\":[", to: &params)
            for (position, text) in group.enumerated() {
                MessageWriter.append(position > 0 ? ",\"" : "\"", to: &params)
                VectorText.append(vectors[text], to: &params)
                params.append(UInt8(ascii: "\""))
            }
            MessageWriter.append("]}", to: &params)
            self.calls.tell("embedding_cache.put", params: params)
        }
    }

    /// `{"model":…,"texts":[…]}`
    private static func params(_ model: String, _ texts: [String]) -> [UInt8] {
        let params: JSONValue = ["model": .string(model), "texts": .array(texts.map { .string($0) })]
        return params.bytes
    }

    /// The texts in groups that fit into a message; those too long for any are in none.
    static func groups(of texts: [String], dimensions: Int?) -> [Range<Int>] {
        let width = VectorText.length(dimensions: dimensions ?? Self.assumedDimensions) + 3
        let most = max(1, Self.vectorBytes / width)
        var groups: [Range<Int>] = []
        var start = 0
        var bytes = 0
        for (position, text) in texts.enumerated() {
            let count = text.utf8.count
            if bytes + count > Self.textBytes || position - start == most {
                groups.append(start..<position)
                (start, bytes) = (position, 0)
            }
            if count > Self.textBytes {
                start = position + 1
            } else {
                bytes += count
            }
        }
        groups.append(start..<texts.count)
        return groups.filter { !$0.isEmpty }
    }
}

// MARK: - Answers

extension SupervisorEmbeddingCache {
    private func mayAsk(now: MonotonicClock) -> Bool {
        self.state.withLock { !$0.isRefused && ($0.silentUntil.map { $0 <= now } ?? true) }
    }

    /// The texts' vectors, as they stand in the answer; nil when there is none to use.
    private func judge(_ answer: SupervisorCalls.Answer, count: Int) -> [JSONValue]? {
        switch answer {
        case .none:
            self.state.withLock { state in
                state.unanswered += 1
                guard state.unanswered >= Self.unansweredLimit else { return }
                state.unanswered = 0
                state.silentUntil = MonotonicClock.now.adding(milliseconds: Self.pauseMilliseconds)
            }
            return nil
        case .error(let code):
            self.state.withLock { state in
                state.unanswered = 0
                // The supervisor has no such cache, and will have none as long as it runs.
                if code == ErrorCode.methodNotFound.rawValue { state.isRefused = true }
            }
            return nil
        case .result(let result):
            self.state.withLock { $0.unanswered = 0 }
            guard let found = result["embeddings"]?.arrayValue, found.count == count else {
                self.warn("embedding_cache.get: the answer is not one of \(count) vectors; it is not used")
                return nil
            }
            return found
        }
    }

    private func vector(_ value: JSONValue, dimensions: Int?) -> [Float]? {
        guard !value.isNull else { return nil }
        guard let vector = value.stringValue.flatMap({ VectorText.vector($0) }),
            vector.count == dimensions ?? vector.count
        else {
            self.warn("embedding_cache.get: a vector is not as the model's are; it is not used")
            return nil
        }
        return vector
    }
}
