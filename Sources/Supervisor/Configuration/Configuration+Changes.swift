import Protocol

/// What changes from one configuration to another, and what of it can be taken while the supervisor runs.
extension Configuration {
    /// Every key with its value, as a document that reads back as the same configuration. Secrets are in it.
    var document: JSONValue {
        var copy = self
        return ConfigurationObject.describe { copy.read(&$0) }
    }

    /// The paths of the keys whose values differ, such as `pools[0].max_concurrency`; pools are those of this one, and
    /// `pools` says that there are others in the new one.
    func changes(to new: Configuration) -> [String] {
        guard new.pools.map(\.name) == self.pools.map(\.name) else {
            var same = new
            same.pools = self.pools.map { pool in new.pools.first { $0.name == pool.name } ?? pool }
            return self.changes(to: same) + ["pools"]
        }
        var paths: [String] = []
        Self.compare(self.document, new.document, "", &paths)
        return paths
    }

    private static func compare(
        _ old: JSONValue?, _ new: JSONValue?, _ path: String, _ paths: inout [String]
    ) {
        guard old != new else { return }
        switch (old, new) {
        case (.object(let before)?, .object(let after)?):
            for member in before {
                let now = after.first { $0.name == member.name }?.value
                self.compare(member.value, now, ConfigurationObject.path(path, member.name), &paths)
            }
            for member in after where !before.contains(where: { $0.name == member.name }) {
                paths.append(ConfigurationObject.path(path, member.name))
            }
        case (.array(let before)?, .array(let after)?)
        where before.count == after.count && (before + after).allSatisfy { $0.objectValue != nil }:
            for index in before.indices {
                self.compare(before[index], after[index], "\(path)[\(index)]", &paths)
            }
        default: paths.append(path)
        }
    }

    /// The new configuration, but for what is read only when the supervisor starts, which stays as it is.
    ///
    /// - Parameters:
    ///   - connections: as many as there may be at most until then.
    ///   - unprepared: names of the pools whose `prepare` has not ended well yet: another one may take its place.
    func adopting(
        _ new: Configuration, connections: Int, unprepared: Set<String> = []
    ) -> Configuration {
        var result = new
        result.limits.connections = min(new.limits.connections, connections)
        result.socket = self.socket
        result.controlSocket = self.controlSocket
        result.limits.messages = self.limits.messages
        result.logging = self.logging
        result.cache.embeddingCacheFile = self.cache.embeddingCacheFile
        result.pools = self.pools.map { pool in
            guard var adopted = new.pools.first(where: { $0.name == pool.name }) else { return pool }
            if !unprepared.contains(pool.name) { adopted.prepare = pool.prepare }
            return adopted
        }
        return result
    }
}

extension Configuration.Pool {
    /// Whether a worker that was started for one would be started in the same way for the other.
    func startsWorkers(like other: Configuration.Pool) -> Bool {
        self.command == other.command && self.directory == other.directory
            && self.environment == other.environment && self.inheritEnvironment == other.inheritEnvironment
            && self.projectRoot == other.projectRoot && self.resourceLimits == other.resourceLimits
    }
}
