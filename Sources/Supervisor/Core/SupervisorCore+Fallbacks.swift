import Protocol

/// That a call was answered by another technique than it asked for, and why.
struct TechniqueFallback: Equatable, Sendable {
    /// The technique asked for, as it stood in the params, quotes and all.
    let from: [UInt8]
    /// The code of the error that it ended with.
    let code: Int64
}

/// A technique that fails is taken the place of by another: `retry.fallback_techniques` (protocol §6, `recovery`).
///
///     the worker answers 3001, 3002, 3003 or 4002   → the same call with the other technique, once, in the time that is
///                                                    left; `metadata.fallback {from, code}` tells the worker, which says
///                                                    so in its result
///     that fails as well                            → its error is the answer
extension SupervisorCore {
    /// Pipeline not found, not initialized, failed; a technique lacks what it needs.
    private static let fallbackCodes: Set<Int64> = [3001, 3002, 3003, 4002]

    /// Sends a call again with the technique that stands in for the one that failed.
    ///
    /// - Returns: false when there is none, or no time, or a chunk was passed on: the error is the answer.
    mutating func fallBack(
        _ call: RequestToken, _ outcome: Outcome, _ effects: inout some SupervisorEffects
    ) -> Bool {
        guard case .workerError(let error) = outcome, !self.configuration.retry.fallbackTechniques.isEmpty,
            self.requests[call].fallback == nil, !self.requests[call].stream.hasBegun,
            self.requests[call].deadline > self.now,
            let code = ParamsReader.value("code", in: error).flatMap({
                Int64(String(decoding: $0, as: UTF8.self))
            }),
            Self.fallbackCodes.contains(code), let plan = self.substitute(for: call)
        else { return false }
        effects.log(
            .warning, "request.fallback",
            [
                "request_id": .string(self.requests[call].requestIDText), "from": .string(plan.from),
                "to": .string(plan.to), "code": .whole(code),
            ])
        // What another technique says is nobody's answer but theirs who wait already.
        if let flight = self.requests[call].flight { self.requests.closeFlight(flight) }
        self.requests.takeBack(
            call, params: plan.params, pool: plan.pool, TechniqueFallback(from: plan.quoted, code: code))
        let worker = self.idleWorker(in: plan.pool, isNotification: false, &effects)
        self.start(call, on: worker, &effects)
        return true
    }

    private struct Substitute {
        let from: String
        /// As it stands in the params.
        let quoted: [UInt8]
        let to: String
        let params: [UInt8]
        let pool: Int
    }

    private func substitute(for call: RequestToken) -> Substitute? {
        self.requests.withParts(of: call) { parts -> Substitute? in
            let name = JSONScanner.unescaped(parts.method, 0..<parts.method.count)
            guard name == "rag.execute" || name == "rag.stream" else { return nil }
            let params = parts.params
            guard let value = ParamsReader.value("technique", in: params),
                let from = ParamsReader.string("technique", in: params)
            else { return nil }
            let fallbacks = self.configuration.retry.fallbackTechniques
            // Of a pipeline there may be one of its own, or that of its technique.
            let technique =
                self.pipelines.first { $0.id == from }?.technique
                ?? Pipeline.technique(ofID: from).map { String($0) }
            guard let to = fallbacks[from] ?? technique.flatMap({ fallbacks[$0] }), to != from else {
                return nil
            }
            let matching = Array(name.utf8).withUnsafeBytes { name in
                self.pools.indices.filter { self.pools[$0].serves(name) }
            }
            guard case .pool(let pool) = self.route(to, among: matching), !self.pools[pool].isHopeless,
                let base = params.baseAddress, let start = value.baseAddress
            else { return nil }
            let place = start - base
            var changed = Array(params[..<place])
            JSONText.append(string: to, to: &changed)
            changed.append(contentsOf: params[(place + value.count)...])
            return Substitute(from: from, quoted: Array(value), to: to, params: changed, pool: pool)
        }
    }
}
