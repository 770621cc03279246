import Protocol

/// Workers of one kind, their places, and what they have declared.
struct Pool {
    enum Preparation: Equatable {
        /// There is nothing to prepare, or it is done.
        case done
        /// Not begun.
        case pending
        case running(WorkerToken)
        /// It failed; tried again then.
        case failed(LastExit, retryAt: Instant)
    }

    private(set) var configuration: Configuration.Pool
    private(set) var methods: [Glob]
    /// Whether its methods are all there are: no name need be compared.
    private var servesEverything: Bool
    /// Workers there are at least and at most: the configuration's, or what an operator scaled to.
    private(set) var minWorkers: Int
    private(set) var maxWorkers: Int
    var preparation: Preparation
    var slots: [WorkerSlot]
    /// The process that is being exchanged for a new one.
    var exchange: Exchange?
    /// Where round robin goes on.
    var turn = 0
    /// Failed preparations, for the wait before the next.
    var preparePolicy = RestartPolicy()
    /// What the workers last declared; it stays valid while they restart. nil before the first declaration.
    var techniques: [String]?
    /// What its cached responses are told apart by from those that do not count any more.
    var generation: UInt64 = 0
    var epochs = EpochHistory()
    /// The model of embeddings whose caller names none.
    var embeddingModel: EmbeddingModel?
    /// How it was, by the last line of the log that said so; nil: it has not come up yet.
    var reportedHealth: SupervisorCore.Health?
    /// Rollouts of all its workers; those that were started before the last one are on their way out.
    var cohort = 0

    init(_ configuration: Configuration.Pool) {
        self.configuration = configuration
        self.methods = configuration.methods.map(Glob.init)
        self.servesEverything = self.methods.contains { $0.matchesEverything }
        self.minWorkers = configuration.minWorkers
        self.maxWorkers = configuration.maxWorkers
        self.preparation = configuration.prepare.isEmpty ? .done : .pending
        self.slots = Array(repeating: WorkerSlot(), count: configuration.minWorkers)
        self.techniques = configuration.techniques
    }

    /// Takes a new configuration; what its workers declared stays valid. Its size is the configuration's again.
    mutating func configure(_ configuration: Configuration.Pool) {
        let declared = self.configuration.techniques == nil ? self.techniques : nil
        if configuration.command != self.configuration.command { self.embeddingModel = nil }
        self.configuration = configuration
        self.methods = configuration.methods.map(Glob.init)
        self.servesEverything = self.methods.contains { $0.matchesEverything }
        self.techniques = configuration.techniques ?? declared
        self.setSize(configuration.minWorkers...configuration.maxWorkers)
    }

    /// A worker has answered by that model, asked for the pool's or for none.
    mutating func learn(model: [UInt8]) {
        guard self.embeddingModel?.name != model else { return }
        self.embeddingModel = EmbeddingModel(name: model, source: .learned)
    }

    /// A worker declares a model, or says without one by which epoch it answers.
    mutating func note(model: String?, epoch: EpochHistory.Epoch) {
        if let model {
            self.embeddingModel = EmbeddingModel(name: Array(model.utf8), source: .declared)
        } else if case .file(let known)? = self.embeddingModel?.source {
            self.embeddingModel?.source = .learned
            if known != epoch.hash { self.embeddingModel = nil }
        }
    }

    /// What was learned from answers by another epoch does not count.
    mutating func epochChanged() {
        switch self.embeddingModel?.source {
        case .learned?: self.embeddingModel = nil
        case .file(let epoch)? where epoch != self.epochs.present.hash: self.embeddingModel = nil
        case .declared?, .file?, nil: break
        }
    }

    mutating func setSize(_ workers: ClosedRange<Int>) {
        (self.minWorkers, self.maxWorkers) = (workers.lowerBound, workers.upperBound)
    }

    /// Whether it grows and shrinks by itself.
    var isElastic: Bool { self.minWorkers < self.maxWorkers }

    /// Workers it shall have now.
    var size: Int { self.slots.count { $0.isWanted } }

    func serves(_ method: UnsafeRawBufferPointer) -> Bool {
        self.servesEverything || self.methods.contains { $0.matches(method) }
    }

    /// Whether calls can only fail: nothing runs and nothing will soon.
    var isHopeless: Bool {
        if case .failed = self.preparation { return true }
        // By index: to walk over the slots themselves copies each.
        for slot in self.slots.indices where !self.slots[slot].isQuarantined && self.slots[slot].isWanted {
            return false
        }
        return true
    }

    /// How the last process ended; how those ended that were sent away for good says nothing of the others.
    private var lastExit: LastExit? {
        self.slots.filter(\.isWanted).compactMap(\.lastExit).max { $0.at < $1.at }
    }

    /// Whether the last worker could not be started because the system has run out of something.
    var lacksResources: Bool { self.lastExit?.isShortage ?? false }

    /// Why, in a sentence, when it is hopeless.
    func hopelessReason(forOperator: Bool) -> String {
        if case .failed(let exit, _) = self.preparation {
            return "prepare \(exit.sentence(forOperator: forOperator))"
        }
        guard let exit = self.lastExit else { return "no worker" }
        return "every worker is quarantined; the last \(exit.sentence(forOperator: forOperator))"
    }
}

/// The name of a model of embeddings, and how it is known.
struct EmbeddingModel: Equatable {
    enum Source: Equatable {
        /// `capabilities.embedding_model`.
        case declared
        /// An answer named it.
        case learned
        /// It was one of both before the supervisor started, at workers that declared this epoch (its hash; 0: none).
        case file(epoch: UInt64)
    }

    var name: [UInt8]
    var source: Source
}
