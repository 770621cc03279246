import Protocol

/// `config.validate`, `config.update` and `config.reload` (protocol §3).
extension SupervisorCore {
    /// Bytes of a partial configuration. More belongs into the file; and what everybody may ask must not take long.
    private static let changeBytes = 64 << 10

    /// What would be wrong with the configuration if it were updated by the params. Nothing but memory is looked at.
    mutating func validateConfiguration(
        _ incoming: IncomingRequest, _ effects: inout some SupervisorEffects
    ) {
        do throws(RPCError) {
            let invalid = try self.faults(of: incoming)
            let result: JSONValue = ["valid": .bool(invalid == nil), "errors": invalid?.value ?? []]
            self.answer(incoming, result: result, &effects)
        } catch {
            self.refuse(incoming, error, &effects)
        }
    }

    private func faults(of incoming: IncomingRequest) throws(RPCError) -> InvalidConfiguration? {
        switch try Self.change(incoming) {
        case .failure(let invalid): return invalid
        case .success(let change):
            do throws(InvalidConfiguration) {
                let updated = try self.source.updated(by: change).resolve()
                _ = try self.sizes(for: updated.configuration, keepingScale: true)
                return nil
            } catch {
                return error
            }
        }
    }

    /// The partial configuration that a call brings.
    private static func change(
        _ incoming: IncomingRequest
    ) throws(RPCError) -> Result<JSON5Value, InvalidConfiguration> {
        guard let params = incoming.params else { return .success(JSON5Value(.object([]))) }
        guard params.first == UInt8(ascii: "{") else { throw .invalidParams(nil, "expected an object") }
        func refusal(_ message: String) -> Result<JSON5Value, InvalidConfiguration> {
            .failure(InvalidConfiguration(errors: [ConfigurationError(path: "", message)]))
        }
        guard params.count <= self.changeBytes else {
            return refusal(
                "\(params.count) bytes are too many for a call: at most "
                    + "\(ByteCountText.text(Int64(self.changeBytes))); write them into the file and reload it"
            )
        }
        do throws(JSONError) {
            return .success(JSON5Value(try JSONValue(parsing: params)))
        } catch {
            return refusal("\(error)")
        }
    }

    /// `config.update`: answered when the change is taken and the workers know of it.
    mutating func updateConfiguration(
        _ incoming: IncomingRequest, _ metadata: RequestMetadata, _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        switch try Self.change(incoming) {
        case .failure(let invalid):
            self.logRejection(
                by: self.origin(of: incoming), errors: invalid.errors.count, invalid.description, &effects)
            throw Self.refused(invalid)
        case .success(let change):
            try self.roll(out: .update(change), incoming, metadata, .changes, &effects)
        }
    }

    /// `config.reload`: the same as `supervisor.reload`, told as `config.update` is.
    mutating func reloadConfiguration(
        _ params: inout OperatorParams, _ incoming: IncomingRequest, _ metadata: RequestMetadata,
        _ effects: inout some SupervisorEffects
    ) throws(RPCError) {
        try params.finish()
        try self.roll(out: .reload, incoming, metadata, .changes, &effects)
    }

    // MARK: The workers

    /// An update was taken: the workers are told, and then whoever asked for it.
    mutating func tellWorkers(
        of change: JSON5Value, _ rollout: Rollout, _ effects: inout some SupervisorEffects
    ) {
        guard !rollout.applied.isEmpty else {
            return self.answer(update: rollout, rollout.changes, &effects)
        }
        let message: JSONValue = [
            "applied": .array(rollout.applied.map { .string($0) }),
            "configuration": ConfigurationSecrets.removed(from: JSONValue(change)),
        ]
        let caller = rollout.waiters.first?.request
        self.broadcast(
            "config.update", message.bytes, .configurationChanged(rollout.changes),
            caller: caller.flatMap { self.requests.contains($0) ? $0 : nil }, &effects)
    }

    private mutating func answer(
        update rollout: Rollout, _ result: JSONValue, _ effects: inout some SupervisorEffects
    ) {
        result.bytes.withUnsafeBytes { bytes in
            for waiter in rollout.waiters { self.answer(waiter, .result(bytes), &effects) }
        }
    }
}
