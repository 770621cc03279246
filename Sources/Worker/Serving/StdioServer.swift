import Glibc
import Protocol

/// Serves requests that come in on one descriptor, one a line, and answers on another, in any order.
///
/// The thread that calls `run` reads, and answers at once what only reads (`health.check`, `ping`,
/// `metrics.get`) or cancels: these must be answered while every thread of the pool retrieves. Each
/// `rag.execute`, `rag.stream` and `embedding.create` is a task, or has a thread where it may wait for an endpoint.
final class StdioServer: Sendable {
    /// How long calls may still take after the input has ended.
    private static let drainMilliseconds: Int64 = 10_000

    private let service: WorkerService
    private let output: OutputBuffer
    private let calls: CallTable
    private let limits = MessageLimits()
    /// What this worker asks the supervisor; nil: there is none to be asked.
    private let questions: SupervisorCalls?
    private let startTask: Starter

    /// Runs a piece of work beside the reading thread.
    typealias Starter = @Sendable (@escaping @Sendable () -> Void) -> Void

    /// - Parameter startTask: by default a task on the pool that has one thread a processor.
    init(
        service: WorkerService, output: OutputBuffer, waitingLimit: Int, questions: SupervisorCalls? = nil,
        startTask: @escaping Starter = { body in Task { body() } }
    ) {
        self.service = service
        self.output = output
        self.questions = questions
        self.startTask = startTask
        self.calls = CallTable(slots: service.capabilities.maxConcurrency, waitingLimit: waitingLimit)
    }

    /// Reads to the end of the input and returns when everything is answered.
    func run(input: Int32) {
        let reader = LineReader(limits: self.limits) {
            // One write answers all that one read brought and that was answered on this thread.
            self.output.flush()
            while self.output.isOverfull { usleep(1_000) }
        }
        reader.run(input: input) { self.take($0) }
        self.output.flush()
        for call in self.calls.drain(milliseconds: Self.drainMilliseconds) {
            let error = RPCError(
                .workerUnavailable, reason: "shutting_down", "The worker stopped before it could answer",
                retryable: true, workerID: self.service.workerID)
            self.answer(call, with: error)
        }
        self.output.flush()
    }

    private func take(_ line: LineReader.Line) {
        switch line {
        case .whole(let message): self.take(message: message)
        case .oversize(let prefix):
            let message = ClientMessage.oversize(prefix: prefix, limits: self.limits)
            if self.isAnswer(message, prefix, isWhole: false) { return }
            self.refuse(message, prefix, .line(self.output))
        }
    }
}

// MARK: - Messages

extension StdioServer {
    private func take(message bytes: UnsafeRawBufferPointer) {
        let message = ClientMessage.scan(bytes, limits: self.limits)
        switch message {
        case .request(let envelope):
            self.take(envelope, bytes, .line(self.output))
        case .batch(let elements):
            let messages = elements.map { ClientMessage.scanElement(bytes, $0, limits: self.limits) }
            let reply = BatchReply(calls: messages.count { $0.isAnswered }, output: self.output)
            for element in messages {
                if case .request(let envelope) = element {
                    self.take(envelope, bytes, .batch(reply))
                } else {
                    self.refuse(element, bytes, .batch(reply))
                }
            }
        case .invalid, .malformed:
            if self.isAnswer(message, bytes, isWhole: true) { return }
            self.refuse(message, bytes, .line(self.output))
        }
    }

    /// Hands over what answers a question of ours: no request, but with an id that only we give.
    private func isAnswer(_ message: ClientMessage, _ bytes: UnsafeRawBufferPointer, isWhole: Bool) -> Bool {
        guard let questions = self.questions, case .invalid(_, let id?) = message else { return false }
        return questions.take(
            id: UnsafeRawBufferPointer(rebasing: bytes[id]), message: isWhole ? bytes : nil)
    }

    /// Answers what is no request.
    private func refuse(_ message: ClientMessage, _ bytes: UnsafeRawBufferPointer, _ reply: ReplyTarget) {
        switch message {
        case .malformed(let error):
            self.send(.parseError(error), id: [], requestID: nil, to: reply)
        case .invalid(let reason, let id):
            self.send(
                .invalidRequest(reason, limits: self.limits), id: id.map { Array(bytes[$0]) } ?? [],
                requestID: nil,
                to: reply)
        case .request, .batch:
            preconditionFailure("a request is taken, not refused")
        }
    }

    private func take(_ envelope: RequestEnvelope, _ bytes: UnsafeRawBufferPointer, _ reply: ReplyTarget) {
        let received = MonotonicClock.now
        let method =
            envelope.methodIsEscaped
            ? JSONScanner.unescaped(bytes, envelope.method)
            : String(decoding: bytes[envelope.method], as: UTF8.self)
        let params = envelope.params.map { Array(bytes[$0]) } ?? []
        guard let id = envelope.id.map({ Array(bytes[$0]) }) else {
            self.take(notification: method, params)
            return
        }
        var call = IncomingCall(
            id: id, method: method, params: params, requestID: nil, wantsMetadata: envelope.metadata != nil,
            received: received, deadline: nil, reply: reply)
        do throws(RPCError) {
            try call.read(metadata: envelope.metadata, of: bytes, limits: self.limits)
            try self.start(call)
        } catch {
            self.answer(call, with: error)
        }
    }

    /// Cancels are the only notifications that mean anything here; a call without an id would have no effect.
    private func take(notification method: String, _ params: [UInt8]) {
        let member: StaticString
        switch method {
        case "$/cancelRequest": member = "id"
        case "notifications/cancelled": member = "requestId"
        default: return
        }
        let id = params.withUnsafeBytes { ParamsReader.value(member, in: $0).map { Array($0) } }
        guard let id, let call = self.calls.takeOldest(id: id) else { return }
        self.answer(call, with: RPCError(.requestCancelled, reason: "cancelled", "Request cancelled"))
    }
}

// MARK: - Calls

extension StdioServer {
    private func start(_ call: IncomingCall) throws(RPCError) {
        guard WorkerService.computing.contains(call.method) else {
            let result = try self.service.immediateResult(
                of: call.method, params: try call.decodedParams(), active: self.calls.activeCount)
            guard let result else {
                throw .methodNotFound(
                    call.method, nearest: NearestName.find(call.method, in: WorkerCapabilities.methods))
            }
            self.answer(call, withResult: result)
            return
        }
        while true {
            switch self.calls.admit(call) {
            case .start(let key): return self.perform(key)
            case .waits: return
            // What is not read yet waits in the pipe: a filter loses nothing, however much it is given.
            case .full:
                self.output.flush()
                self.calls.waitForRoom()
            }
        }
    }

    /// Runs a call, and then those that waited for its slot.
    private func perform(_ first: CallTable.Key) {
        self.startTask {
            var next: CallTable.Key? = first
            while let key = next {
                self.execute(key)
                self.output.flush()
                next = self.calls.finish()
            }
        }
    }

    private func execute(_ key: CallTable.Key) {
        guard let call = self.calls.call(key) else { return }
        var result: [UInt8] = []
        do throws(RPCError) {
            try call.checkDeadline()
            let checkpoint = { () throws(RPCError) in
                guard self.calls.call(key) != nil else { throw .cancelledMeanwhile }
                try call.checkDeadline()
            }
            if call.method == "rag.stream" {
                var stream = AnswerStream(id: call.id, output: self.output, checkpoint: checkpoint)
                let summary = try self.service.stream(
                    call, checkpoint: checkpoint, to: &stream, result: &result)
                try self.checkSize(of: result, call)
                try stream.send(.metadata, summary, isFinal: true)
            } else {
                try self.service.perform(call, checkpoint: checkpoint, to: &result)
                try self.checkSize(of: result, call)
            }
            if let call = self.calls.take(key) { self.answer(call, withResult: result) }
        } catch {
            if let call = self.calls.take(key) { self.answer(call, with: error) }
        }
    }

    private func checkSize(of result: [UInt8], _ call: IncomingCall) throws(RPCError) {
        guard result.count > self.limits.messageBytes - 1_024 else { return }
        throw RPCError(
            .serializationError, reason: "reply_too_large",
            "The result has \(result.count) bytes, more than a message may have; ask for "
                + (call.method == "embedding.create" ? "fewer texts at once" : "a lower options.top_k"))
    }

    private func answer(_ call: IncomingCall, withResult result: [UInt8]) {
        let elapsed = self.record(call, isError: false)
        var message: [UInt8] = []
        message.reserveCapacity(result.count + call.id.count + 256)
        call.id.withUnsafeBytes { MessageWriter.appendResultHead(id: $0, to: &message) }
        message.append(contentsOf: result)
        self.finish(&message, of: call, milliseconds: elapsed)
    }

    private func answer(_ call: IncomingCall, with error: RPCError) {
        let elapsed = self.record(call, isError: true)
        var call = call
        call.requestID = call.shownRequestID  // the same in error and metadata
        var message: [UInt8] = []
        call.id.withUnsafeBytes { MessageWriter.appendErrorHead(id: $0, to: &message) }
        error.value(requestID: call.requestID).write(to: &message)
        self.finish(&message, of: call, milliseconds: elapsed)
    }

    /// Counts a call that is about to be answered.
    ///
    /// - Returns: the milliseconds it took.
    private func record(_ call: IncomingCall, isError: Bool) -> Double {
        let now = MonotonicClock.now
        let elapsed = now.nanoseconds - call.received.nanoseconds
        self.service.metrics.record(call.method, nanoseconds: elapsed, isError: isError, now: now)
        return Double(elapsed) / 1_000_000
    }

    /// Closes an answer, with `metadata` when the request had them.
    private func finish(_ message: inout [UInt8], of call: IncomingCall, milliseconds: Double) {
        if call.wantsMetadata {
            let metadata: JSONValue = [
                "request_id": .string(call.shownRequestID), "worker_id": .string(self.service.workerID),
                "processing_time_ms": .milliseconds(milliseconds),
            ]
            MessageWriter.append(",\"metadata\":", to: &message)
            metadata.write(to: &message)
        }
        message.append(UInt8(ascii: "}"))
        call.reply.send(message)
    }

    /// Answers what never became a call.
    private func send(_ error: RPCError, id: [UInt8], requestID: String?, to reply: ReplyTarget) {
        var message: [UInt8] = []
        id.withUnsafeBytes { MessageWriter.appendErrorHead(id: $0, to: &message) }
        error.value(requestID: requestID).write(to: &message)
        message.append(UInt8(ascii: "}"))
        reply.send(message)
    }
}
