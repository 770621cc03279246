/// Where an HTTP service is: `http://HOST[:PORT][/PATH]`.
///
/// Only http: TLS would cost every worker 15 MB and 9 ms of start, used or not, and model servers are neighbours.
struct HTTPAddress: Equatable, Sendable, CustomStringConvertible {
    /// A name or an address; of IPv6 without the brackets.
    let host: String
    let port: UInt16
    /// What stands before the paths of the service, without a slash at its end: `/v1`, or nothing.
    let path: String

    /// What is wrong with a text that should be an address.
    enum Fault: Error {
        case https
        case notAnAddress
    }

    init(_ text: String) throws(Fault) {
        guard !text.lowercased().hasPrefix("https:") else { throw .https }
        let scheme = "http://"
        guard text.lowercased().hasPrefix(scheme),
            // A query or a fragment has no place here, and a user's password none in a log.
            text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && !#"?#@"\<>"#.utf8.contains($0) })
        else { throw .notAnAddress }
        let rest = text.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" }
        guard let (host, port) = Self.parts(of: authority) else { throw .notAnAddress }
        self.host = host
        self.port = port
        var path = rest.dropFirst(authority.count)
        while path.hasSuffix("/") { path = path.dropLast() }
        self.path = String(path)
    }

    private static func parts(of authority: Substring) -> (host: String, port: UInt16)? {
        var host = authority
        var port: Substring?
        if authority.hasPrefix("[") {
            guard let bracket = authority.lastIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<bracket]
            let behind = authority[authority.index(after: bracket)...]
            guard behind.isEmpty || behind.hasPrefix(":") else { return nil }
            if !behind.isEmpty { port = behind.dropFirst() }
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        guard !host.isEmpty, !host.contains("["), !host.contains("]") else { return nil }
        guard let port else { return (String(host), 80) }
        guard let number = UInt16(port), number > 0, port.utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { return nil }
        return (String(host), number)
    }

    /// `HOST:PORT`, as the header `Host` has it.
    var authority: String {
        let host = self.host.contains(":") ? "[\(self.host)]" : self.host
        return self.port == 80 ? host : "\(host):\(self.port)"
    }

    var description: String { "http://\(self.authority)\(self.path)" }
}
