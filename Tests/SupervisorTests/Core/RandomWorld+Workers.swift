import Protocol

@testable import Supervisor

/// What workers do, in any order.
extension RandomWorld {
    func somethingHappensToAWorker() {
        guard let worker = self.processes.randomElement(using: &self.random) else { return }
        switch self.random.below(24) {
        case ..<7:
            if self.unannounced.contains(worker) { self.announce(worker) } else { self.answerHealth(worker) }
        case ..<18:
            let calls = self.core.requests.calls(on: worker)
            guard let call = calls.randomElement(using: &self.random) else {
                return self.answerHealth(worker)
            }
            let number = RequestTable.number(of: call)
            self.write(worker, self.random.below(3) == 0 ? self.chunk(number) : self.reply(number))
        case 18: self.write(worker, "Loading the model …")
        case 19: self.exit(worker)
        case 20:
            let capabilities = self.random.one(of: [
                #"{"cancel":true}"#, #"{"max_concurrency":3}"#, #"{"idempotent":["job.run","a.b"]}"#,
                #"{"techniques":["one"]}"#, #"{"techniques":[],"max_concurrency":1}"#,
            ])
            self.write(
                worker,
                #"{"jsonrpc":"2.0","method":"worker.capabilities","params":\#(capabilities)}"#)
        case 21: self.effects.memory[worker] = Int64(self.random.below(4)) << 30
        case 22: self.effects.inputBacklogs[worker] = self.random.below(3) << 20
        default:
            self.random.below(2) == 0
                ? self.tick { core, _ in core.inputFailed(worker) }
                : self.tick { core, _ in core.outputClosed(worker) }
        }
    }

    private func announce(_ worker: WorkerToken) {
        self.unannounced.removeAll { $0 == worker }
        guard self.random.below(8) > 0 else {
            self.processes.removeAll { $0 == worker }
            let isShortage = self.random.below(2) == 0
            return self.tick { $0.spawnFailed(worker, reason: "none", isShortage: isShortage, &$1) }
        }
        self.tick { $0.workerSpawned(worker, pid: 100 + Int32(worker.index), &$1) }
    }

    private func answerHealth(_ worker: WorkerToken) {
        guard let check = self.core.workers[worker].healthCheck else { return }
        let number = RequestTable.number(of: check)
        let result = self.random.one(of: [
            #""result":{"status":"healthy"}"#, #""result":{"status":"healthy","capabilities":{}}"#,
            #""result":{"status":"degraded","capabilities":{"max_concurrency":4,"cancel":true}}"#,
            #""error":{"code":-32601,"message":"what?"}"#, #""result":{"status":"unhealthy"}"#,
        ])
        self.write(worker, #"{"jsonrpc":"2.0","id":\#(number),\#(result)}"#)
    }

    private func chunk(_ number: UInt64) -> String {
        let isFinal = self.random.below(4) == 0
        let kind = self.random.one(of: ["document", "partial_answer", "nonsense"])
        return #"{"jsonrpc":"2.0","method":"stream_chunk","params":{"request_id":\#(number),"#
            + #""chunk_type":"\#(kind)","data":1,"is_final":\#(isFinal)}}"#
    }

    private func reply(_ number: UInt64) -> String {
        let outcomes = [
            #""result":1"#, #""result":[]"#, #""error":{"code":-32603,"message":"broken"}"#,
            #""error":{"code":7,"message":"no"}"#, #""neither":0"#,
        ]
        return #"{"jsonrpc":"2.0","id":\#(number),\#(self.random.one(of: outcomes))}"#
    }

    private func write(_ worker: WorkerToken, _ line: String) {
        Array(line.utf8).withUnsafeBytes { bytes in self.tick { $0.workerWrote(bytes, worker, &$1) } }
    }

    private func exit(_ worker: WorkerToken, _ status: Supervisor.ExitStatus? = nil) {
        self.processes.removeAll { $0 == worker }
        let statuses: [Supervisor.ExitStatus] = [.exited(code: 0), .exited(code: 1), .signaled(9)]
        let status = status ?? self.random.one(of: statuses)
        self.tick { $0.workerExited(worker, status, &$1) }
        // What had not been said of it comes late.
        guard self.unannounced.contains(worker) else { return }
        self.unannounced.removeAll { $0 == worker }
        self.tick { $0.workerSpawned(worker, pid: 1, &$1) }
    }

    /// Every worker does what it shall, until there is nothing to do: comes up, answers, leaves.
    func letWorkersWork() {
        for _ in 0..<1000 where self.faults.isEmpty && self.hasWork { self.letEachWork() }
        self.check(!self.hasWork, "the workers are never done")
    }

    private var hasWork: Bool {
        !self.unannounced.isEmpty
            || self.processes.contains {
                self.core.requests.inFlight(on: $0) > 0 || self.core.workers[$0].healthCheck != nil
                    || self.isLeaving($0)
            }
    }

    private func isLeaving(_ worker: WorkerToken) -> Bool {
        let process = self.core.workers[worker]
        if case .terminating = process.life.state { return true }
        return process.cutOff != nil || process.role == .preparing
    }

    private func letEachWork() {
        for worker in self.processes {
            if self.unannounced.contains(worker) {
                self.unannounced.removeAll { $0 == worker }
                self.tick { $0.workerSpawned(worker, pid: 100 + Int32(worker.index), &$1) }
            }
            for call in self.core.requests.calls(on: worker) {
                self.write(worker, #"{"jsonrpc":"2.0","id":\#(RequestTable.number(of: call)),"result":1}"#)
            }
            if let check = self.core.workers[worker].healthCheck {
                let number = RequestTable.number(of: check)
                self.write(worker, #"{"jsonrpc":"2.0","id":\#(number),"result":{"status":"healthy"}}"#)
            }
            if self.isLeaving(worker) { self.exit(worker, .exited(code: 0)) }
        }
    }
}
