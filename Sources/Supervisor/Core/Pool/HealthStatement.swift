import Protocol

/// What a worker said of itself, and of what it depends on, when it was last asked for its health (protocol §5).
struct HealthStatement: Equatable, Sendable {
    /// Something that a worker needs and is not: its index, the server of a model.
    struct Dependency: Equatable, Sendable {
        enum Status: String, Sendable {
            case healthy, degraded, unavailable
            /// The worker said no such word.
            case unknown
        }

        var name: String
        var status: Status
        /// What else the worker said of it.
        var details: [JSONValue.Member]
    }

    /// Dependencies of one worker, bytes of a name, and of all that is said of one; the rest is not kept.
    private static let count = 32
    private static let nameBytes = 64
    private static let detailBytes = 4096

    var status: String
    var at: Instant
    var dependencies: [Dependency]

    /// - Parameter result: of `health.check`; nil when it is no answer to that.
    init?(result: JSONValue, at now: Instant) {
        guard let status = result["status"]?.stringValue,
            ["healthy", "degraded", "unhealthy"].contains(status)
        else { return nil }
        self.status = status
        self.at = now
        self.dependencies = (result["dependencies"]?.objectValue ?? []).prefix(Self.count).compactMap {
            $0.name.utf8.count <= Self.nameBytes ? Self.dependency($0) : nil
        }
    }

    private static func dependency(_ member: JSONValue.Member) -> Dependency {
        let word = member.value["status"]?.stringValue ?? member.value.stringValue ?? ""
        let status = word == "unhealthy" ? .unavailable : Dependency.Status(rawValue: word) ?? .unknown
        let details = (member.value.objectValue ?? []).filter { $0.name != "status" }
        let isLong = JSONValue.object(details).bytes.count > Self.detailBytes
        return Dependency(name: member.name, status: status, details: isLong ? [] : details)
    }
}
