import Protocol

/// Requests that kill workers are sent to no third one.
extension SupervisorCore {
    /// Params larger than this are compared as they are spelled: to sort what one user sends must not take the
    /// loop's time from all others.
    private static let canonicalLimit = 256 * 1024

    /// A call was in flight when its worker died for the second time, and at one of the two it was alone there:
    /// no neighbour can be to blame. (A method that may not be sent twice is never in flight at two deaths.)
    mutating func notePoison(_ request: RequestToken, _ effects: inout some SupervisorEffects) {
        let (deaths, pool) = (self.requests[request].deaths, self.requests[request].pool)
        guard deaths.count >= 2, deaths.wasAlone, self.holds(.poison) else { return }
        let name = self.requests.withParts(of: request) {
            JSONScanner.unescapedUTF8($0.method, 0..<$0.method.count)
        }
        guard !self.methods.isForEveryWorker(self.requests[request].method) else { return }
        for caller in self.callers(of: request) {
            // Of those who wait for embeddings each asked for other texts than the worker was asked for.
            let asked = self.requests[caller].embedding == nil ? request : caller
            let params = self.requests.withParts(of: asked) { $0.params }
            let fingerprint = name.withUnsafeBytes { self.fingerprint(pool, $0, params) }
            guard let connection = self.requests[caller].connection else { continue }
            let peer = self.connections[connection].peer
            guard !self.poison.contains(fingerprint, of: peer.uid) else { continue }
            self.poison.insert(fingerprint, of: peer.uid, at: self.now)
            effects.log(
                .error, "request.poisoned",
                [
                    "request_id": .string(self.requests[caller].requestIDText),
                    "method": .string(String(decoding: name, as: UTF8.self)),
                    "pool": .string(self.pools[pool].configuration.name), "peer_uid": .integer(peer.uid),
                    "peer_pid": .integer(peer.pid),
                    "for_ms": .integer(PoisonList.term / .milliseconds(1)),
                ])
        }
    }

    /// Why a request is refused that has cost two workers their lives; nil for every other.
    mutating func poisonRefusal(_ incoming: IncomingRequest, pool: Int) -> RPCError? {
        let uid = self.connections[incoming.caller.connection].peer.uid
        guard self.poison.concerns(uid, at: self.now) else { return nil }
        let params = incoming.params ?? UnsafeRawBufferPointer(start: nil, count: 0)
        let fingerprint = incoming.withMethod { self.fingerprint(pool, $0, params) }
        guard self.poison.contains(fingerprint, of: uid) else { return nil }
        return RPCError(
            .resourceExhausted, reason: "poison_request",
            "This request was with two workers when they died; it is refused for \(PoisonList.term / .seconds(60)) minutes"
        )
    }

    /// A reload or an operator's restart: the workers may be others now.
    mutating func forgetPoison() { self.poison.removeAll() }

    /// - Parameter method: the name, escapes resolved.
    private mutating func fingerprint(
        _ pool: Int, _ method: UnsafeRawBufferPointer, _ params: UnsafeRawBufferPointer
    ) -> PoisonList.Fingerprint {
        self.head.removeAll(keepingCapacity: true)
        let isCanonical =
            !params.isEmpty && params.count <= Self.canonicalLimit
            && self.canonical.append(params, to: &self.head)
        var hasher = Hasher()
        hasher.combine(pool)
        hasher.combine(method.count)
        hasher.combine(bytes: method)
        // What has no canonical form is the same when it is the same byte for byte.
        hasher.combine(isCanonical)
        if isCanonical {
            self.head.withUnsafeBytes { hasher.combine(bytes: $0) }
        } else {
            hasher.combine(bytes: params)
        }
        return hasher.finalize()
    }
}
