import Protocol

/// Counts every call once, at its answer, and answers `metrics.get` for the pool.
extension SupervisorCore {
    /// A call is answered at once, in the tick in which it came.
    mutating func count(_ incoming: IncomingRequest, isError: Bool) {
        self.history.record(
            method: self.methods.figures(of: incoming.method), nanoseconds: 0, isError: isError,
            now: self.now.nanoseconds)
    }

    /// The caller of a call in the table is answered.
    mutating func count(_ request: RequestToken, isError: Bool) {
        self.history.record(
            method: self.figures(of: request),
            nanoseconds: self.now.duration(since: self.requests[request].arrivedAt),
            isError: isError, now: self.now.nanoseconds)
    }

    /// A worker has answered a call. What it did not call unknown is a method that there is.
    mutating func count(_ request: RequestToken, _ outcome: Outcome, on worker: WorkerToken) {
        if self.requests[request].method == .other, !Self.isMethodNotFound(outcome) {
            self.methods.noteAnswered(self.requests.withParts(of: request) { $0.method })
        }
        let isError = if case .result = outcome { false } else { true }
        self.count(request, on: worker, isError: isError)
    }

    /// A call is over for a worker: it was answered, or given up, or the worker is lost.
    mutating func count(_ request: RequestToken, on worker: WorkerToken, isError: Bool) {
        guard let place = self.figuresPlace(of: worker) else { return }
        self.history.record(
            worker: place, method: self.figures(of: request),
            nanoseconds: self.now.duration(since: self.requests[request].dispatchedAt),
            isError: isError, now: self.now.nanoseconds)
    }

    private mutating func figuresPlace(of worker: WorkerToken) -> Int? {
        if let place = self.workers[worker].figuresPlace { return place }
        let place = self.history.admit(self.workers[worker].id, now: self.now.nanoseconds)
        self.workers[worker].figuresPlace = place
        return place
    }

    /// The number of the figures of a call's method, which may have become known since the call came.
    private func figures(of request: RequestToken) -> Int {
        let method = self.requests[request].method
        guard method == .other else { return self.methods.figures(of: method) }
        return self.requests.withParts(of: request) {
            self.methods.figures(of: self.methods.index(of: $0.method))
        }
    }

    private static func isMethodNotFound(_ outcome: Outcome) -> Bool {
        guard case .workerError(let error) = outcome, let code = ParamsReader.value("code", in: error) else {
            return false
        }
        return code.elementsEqual("-32601".utf8)
    }

    /// `metrics.get`: of the pool it is answered here and now; a question to one worker is passed on, once it is
    /// clear that its caller may ask that.
    mutating func answerMetrics(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ effects: inout some SupervisorEffects
    ) {
        let parameters: MetricsParameters
        do throws(RPCError) {
            parameters = try MetricsParameters(scanned: incoming.params)
        } catch {
            return self.refuse(incoming, error, &effects)
        }
        let isOperator = self.connections[incoming.caller.connection].isOperator
        guard !parameters.reset || isOperator || !self.holds(.operatorsOnly) else {
            return self.refuseStranger(incoming, &effects)
        }
        guard parameters.scope == .pool else {
            return self.accept(incoming, metadata, incoming.method, &effects)
        }
        let result = self.history.report(
            parameters.timeRange, names: self.methods.measuredNames, now: self.now.nanoseconds)
        if parameters.reset { self.history.reset(now: self.now.nanoseconds) }
        self.answer(incoming, result: result, &effects)
    }
}

extension MetricsParameters {
    /// - Parameter params: of an accepted message; nil when it has none.
    init(scanned params: UnsafeRawBufferPointer?) throws(RPCError) {
        var value: JSONValue?
        if let params {
            // The grammar was checked; what is left is a number that no Double holds.
            value = try? JSONValue(parsing: params)
            guard value != nil else { throw .invalidParams(nil, "a number is too large") }
        }
        try self.init(value)
    }
}
