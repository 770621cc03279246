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

    let configuration: Configuration.Pool
    let methods: [Glob]
    var preparation: Preparation
    var slots: [WorkerSlot]
    /// Where round robin goes on.
    var turn = 0
    /// Failed preparations, for the wait before the next.
    var preparePolicy = RestartPolicy()
    /// What the workers last declared; it stays valid while they restart. nil before the first declaration.
    var techniques: [String]?

    init(_ configuration: Configuration.Pool) {
        self.configuration = configuration
        self.methods = configuration.methods.map(Glob.init)
        self.preparation = configuration.prepare.isEmpty ? .done : .pending
        self.slots = Array(repeating: WorkerSlot(), count: configuration.minWorkers)
        self.techniques = configuration.techniques
    }

    func serves(_ method: UnsafeRawBufferPointer) -> Bool {
        self.methods.contains { $0.matches(method) }
    }

    /// Whether calls can only fail: nothing runs and nothing will soon.
    var isHopeless: Bool {
        if case .failed = self.preparation { return true }
        return self.slots.allSatisfy(\.isQuarantined)
    }

    /// Why, in a sentence, when it is hopeless.
    func hopelessReason(forOperator: Bool) -> String {
        if case .failed(let exit, _) = self.preparation {
            return "prepare \(exit.sentence(forOperator: forOperator))"
        }
        guard let exit = self.slots.compactMap(\.lastExit).last else { return "no worker" }
        return "every worker is quarantined; the last \(exit.sentence(forOperator: forOperator))"
    }
}
