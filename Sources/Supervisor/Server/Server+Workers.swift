import Glibc
import Protocol

/// What the workers' processes say and how they end, as events for the core.
extension Server {
    mutating func flushInput(of token: WorkerToken) {
        guard let worker = self.effects.worker(token), !worker.flush(in: self.loop) else { return }
        self.effects.defer(.inputFailed(token))
    }

    /// - Returns: whether there may be more.
    @discardableResult
    mutating func readOutput(of worker: WorkerPipes) -> Bool {
        switch worker.output.read(into: self.buffer) {
        case .bytes(let count):
            let bytes = UnsafeRawBufferPointer(rebasing: self.buffer[..<count])
            var offset = 0
            while let frame = worker.decoder.next(in: bytes, from: &offset) {
                self.take(frame, bytes, from: worker)
            }
            return true
        case .wouldBlock:
            return false
        case .ended, .failed:
            self.effects.stopReadingOutput(of: worker)
            if let frame = worker.decoder.finish() {
                self.take(frame, UnsafeRawBufferPointer(start: nil, count: 0), from: worker)
            }
            self.core.outputClosed(worker.token)
            return false
        }
    }

    private mutating func take(
        _ frame: FrameDecoder.Frame, _ bytes: UnsafeRawBufferPointer, from worker: WorkerPipes
    ) {
        switch frame {
        case .input(let range):
            self.core.workerWrote(UnsafeRawBufferPointer(rebasing: bytes[range]), worker.token, &self.effects)
        case .assembled:
            self.takeAssembled(from: worker)
        case .oversize:
            worker.decoder.withAssembled {
                self.core.workerWroteOversize(prefix: $0, worker.token, &self.effects)
            }
        case .unreadable(let fault):
            preconditionFailure("a line that cannot be read: \(fault)")
        }
    }

    /// Of a large message the memory is passed on with it, if the core sends it on.
    private mutating func takeAssembled(from worker: WorkerPipes) {
        let message = worker.decoder.assembled
        if message.count >= MessageBuffer.largeBytes { self.noteLargeMessage() }
        self.effects.delivered = message
        message.withUnsafeBytes { self.core.workerWrote($0, worker.token, &self.effects) }
        self.effects.delivered = []
    }

    /// - Returns: whether there may be more.
    @discardableResult
    mutating func readErrors(of worker: WorkerPipes) -> Bool {
        switch worker.errors.read(into: self.buffer) {
        case .bytes(let count):
            worker.errorLines.take(UnsafeRawBufferPointer(rebasing: self.buffer[..<count])) {
                self.logErrorLine($0, of: worker)
            }
            return true
        case .wouldBlock:
            return false
        case .ended, .failed:
            worker.errorLines.finish { self.logErrorLine($0, of: worker) }
            self.effects.stopReadingErrors(of: worker)
            return false
        }
    }

    private mutating func logErrorLine(_ line: UnsafeRawBufferPointer, of worker: WorkerPipes) {
        self.effects.log(
            .info, "worker.stderr",
            [
                "worker_id": .string(worker.workerID),
                "line": .escaped(Excerpt.escaped(line, limit: Excerpt.lineBytes)),
            ])
    }

    /// The process has ended. Its group is killed before its pid is given back, so that the number cannot be a
    /// stranger's; then all that it wrote is read, and only then are its calls settled.
    mutating func workerExited(_ token: WorkerToken) {
        guard let worker = self.effects.worker(token) else { return }
        kill(-worker.pid, SIGKILL)
        for _ in 0..<Self.lastReads where worker.outputRegistration != nil {
            guard self.readOutput(of: worker) else { break }
        }
        for _ in 0..<Self.lastReads where worker.errorsRegistration != nil {
            guard self.readErrors(of: worker) else { break }
        }
        worker.errorLines.finish { self.logErrorLine($0, of: worker) }
        guard let status = ChildExit.reap(worker.pidfd) else { return }
        self.core.workerExited(token, status, &self.effects)
        self.effects.remove(worker)
    }
}
