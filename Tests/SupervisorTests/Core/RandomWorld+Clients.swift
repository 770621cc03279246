import Protocol

@testable import Supervisor

/// What clients and operators do, in any order.
extension RandomWorld {
    func somethingHappensToAClient() {
        guard let client = self.clients.indices.randomElement(using: &self.random) else {
            return self.connect()
        }
        switch self.random.below(20) {
        case 0: if self.clients.count < 4 { self.connect() }
        case 1: self.disconnect(self.clients[client].token)
        case 2...19 where self.clients[client].hasEnded: break
        case 2:
            self.clients[client].hasEnded = true
            let token = self.clients[client].token
            self.tick { $0.inputEnded(token, &$1) }
        case 3...5:
            guard let call = self.clients[client].open.randomElement(using: &self.random) else { return }
            self.send(
                client, #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":\#(call.id)}}"#)
        case 6...7: self.sendBatch(client)
        default: self.sendCall()
        }
    }

    private func connect() {
        let peer = Peer(pid: 1, uid: 1000)
        guard let token = self.core.connectionOpened(peer) else { return }
        self.clients.append(Client(token: token))
    }

    func disconnect(_ token: ConnectionToken) {
        self.clients.removeAll { $0.token == token }
        self.noteUnsent(token)
        self.tick { $0.disconnected(token, &$1) }
    }

    func sendCall() {
        guard let client = self.clients.indices.last(where: { !self.clients[$0].hasEnded }) else {
            return self.connect()
        }
        self.send(client, self.call(client))
    }

    /// The answer to a batch comes when all its calls are over.
    private func sendBatch(_ client: Int) {
        let calls = (0...self.random.below(4)).map { _ in self.call(client, within: 30_000) }
        self.send(client, "[\(calls.joined(separator: ","))]")
    }

    /// The text of a call or a notification; a call is noted.
    ///
    /// - Parameter limit: milliseconds until it must be answered, where that is not its own timeout.
    private func call(_ client: Int, within limit: Int64? = nil) -> String {
        let methods = ["job.run", "job.run", "rag.execute", "rag.stream", "health.check", "ping", "other.do"]
        let method = self.random.one(of: methods)
        let technique = self.random.one(of: ["one", "two", "three"])
        let priority = self.random.one(of: ["low", "normal", "high"])
        let timeout = self.random.one(of: [Int64(1), 50, 1000, 30_000])
        let rest =
            #","params":{"technique":"\#(technique)"},"#
            + #""metadata":{"priority":"\#(priority)","timeout_ms":\#(timeout)}"#
        guard self.random.below(8) > 0 else { return #"{"jsonrpc":"2.0","method":"\#(method)"\#(rest)}"# }
        return self.noted(client, method, rest, within: .milliseconds(limit ?? timeout))
    }

    private func noted(_ client: Int, _ method: String, _ rest: String, within limit: Nanoseconds) -> String {
        self.lastID += 1
        self.clients[client].open.append(
            OpenCall(
                id: self.lastID, limit: self.core.now.advanced(by: limit), isStream: method == "rag.stream"))
        return #"{"jsonrpc":"2.0","id":\#(self.lastID),"method":"\#(method)"\#(rest)}"#
    }

    private func send(_ client: Int, _ text: String) {
        let token = self.clients[client].token
        Array(text.utf8).withUnsafeBytes { bytes in self.tick { $0.received(bytes, from: token, &$1) } }
    }

    func anOperatorCalls() {
        guard self.random.below(6) > 0 else { return self.tick { $0.reload(reason: "SIGHUP", &$1) } }
        guard let client = self.clients.indices.last(where: { !self.clients[$0].hasEnded }) else {
            return self.connect()
        }
        let wait = self.random.one(of: ["true", "false"])
        let slot = self.random.below(4)
        let pool = self.random.one(of: self.core.pools.map(\.configuration.name))
        let varied = self.core.configuration.varied(by: &self.random)
        self.effects.configuration =
            self.random.below(5) == 0
            ? .failure(InvalidConfiguration(errors: [ConfigurationError(path: "pools", "expected a list")]))
            : .success(varied)
        let call: (method: String, params: String) =
            switch self.random.below(13) {
            case 0: ("supervisor.restart", #"{"rolling":true,"wait":\#(wait)}"#)
            case 1...2: ("supervisor.restart", #"{"worker":\#(slot),"wait":\#(wait)}"#)
            case 3...4: ("supervisor.drain", #"{"worker":\#(slot)}"#)
            case 5: ("supervisor.reload", #"{"wait":\#(wait)}"#)
            case 6: ("supervisor.status", "{}")
            case 7...8: ("config.update", varied.document.text)
            case 9: ("config.reload", "{}")
            default: ("supervisor.scale", #"{"workers":\#(slot + 1),"pool":"\#(pool)"}"#)
            }
        let text = self.noted(
            client, call.method, #","params":\#(call.params)"#, within: .seconds(700))
        self.send(client, self.random.below(4) == 0 ? "[\(text)]" : text)
    }
}
