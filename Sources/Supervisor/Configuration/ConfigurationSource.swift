import Protocol

/// What a configuration is made of: a document, what updates have changed in it, and what stands above it.
///
/// A plain value that is kept in memory, so that an update is judged and taken without reading the file again.
struct ConfigurationSource: Equatable, Sendable {
    /// The file that was read; nil: none.
    var file: String?
    /// What the file says, with the updates since it was read. At its top an object.
    var document = JSON5Value(.object([]))
    var overrides = ConfigurationOverrides()
    /// Updates since the file was read.
    var updates = 0

    /// What a configuration is that was made without a document.
    init(of configuration: Configuration) { self.document = JSON5Value(configuration.document) }

    init(file: String? = nil, overrides: ConfigurationOverrides = ConfigurationOverrides()) {
        self.file = file
        self.overrides = overrides
    }

    /// The configuration that this makes.
    ///
    /// - Parameter known: what is wrong already.
    /// - Throws: all that is wrong.
    func resolve(_ known: [ConfigurationError] = []) throws(InvalidConfiguration) -> ServeSettings {
        let (configuration, errors) = self.judge(known)
        guard errors.isEmpty else { throw InvalidConfiguration(errors: errors) }
        return ServeSettings(configuration: configuration, source: self)
    }

    /// The configuration as far as it is right, and all that is wrong.
    func judge(
        _ known: [ConfigurationError] = []
    ) -> (configuration: Configuration, errors: [ConfigurationError]) {
        var configuration = Configuration()
        var errors = known
        // A file that cannot be read has no keys to be judged.
        if known.isEmpty {
            errors = ConfigurationObject.read(self.document) { configuration.read(&$0) }
            for index in errors.indices where errors[index].location != nil { errors[index].file = self.file }
        }
        self.overrides.apply(to: &configuration, &errors)
        return (configuration, errors)
    }

    /// The same with a partial configuration in it (protocol §3): objects merge, arrays replace, null stands for the
    /// default, and pools merge by their names.
    func updated(by change: JSON5Value) -> ConfigurationSource {
        var source = self
        source.updates += 1
        var base = self.document.members
        if change.members.contains(where: { $0.name == "pools" }),
            base.first(where: { $0.name == "pools" })?.value.isNull ?? true
        {
            // Without any there is the default one, and others come beside it.
            base.removeAll { $0.name == "pools" }
            base.append(.init(name: "pools", value: JSON5Value(.array([JSON5Value(.object([]))]))))
        }
        let members = Self.merge(base, change.members) { name, old, new in
            name == "pools" ? Self.mergePools(old, new) : Self.merge(old, new)
        }
        source.document = JSON5Value(.object(members), at: self.document.location)
        return source
    }

    private static func merge(
        _ base: [JSON5Value.Member], _ change: [JSON5Value.Member],
        _ combine: (_ name: String, _ old: JSON5Value, _ new: JSON5Value) -> JSON5Value
    ) -> [JSON5Value.Member] {
        var result = base
        var places = Dictionary(
            base.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
        for member in change {
            // A name that stands twice is added, and the reader refuses it.
            if let place = places.removeValue(forKey: member.name) {
                result[place].value = combine(member.name, result[place].value, member.value)
            } else {
                result.append(member)
            }
        }
        return result
    }

    private static func merge(_ old: JSON5Value, _ new: JSON5Value) -> JSON5Value {
        guard case .object(let base) = old.content, case .object(let change) = new.content else { return new }
        return JSON5Value(.object(self.merge(base, change) { self.merge($1, $2) }), at: old.location)
    }

    private static func mergePools(_ old: JSON5Value, _ new: JSON5Value) -> JSON5Value {
        guard case .array(let base) = old.content, case .array(let changes) = new.content else { return new }
        var result = base
        var merged: Set<String> = []
        for change in changes {
            guard let name = change.poolName, merged.insert(name).inserted,
                let place = base.firstIndex(where: { $0.poolName == name })
            else {
                result.append(change)
                continue
            }
            result[place] = self.merge(base[place], change)
        }
        return JSON5Value(.array(result), at: old.location)
    }
}

extension JSON5Value {
    fileprivate var members: [Member] {
        guard case .object(let members) = self.content else { return [] }
        return members
    }

    fileprivate var isNull: Bool { self.content == .null }

    /// The name of a pool that this describes; nil when it describes none.
    fileprivate var poolName: String? {
        guard case .object(let members) = self.content else { return nil }
        switch members.last(where: { $0.name == "name" })?.value.content {
        case .string(let name)?: return name
        case .null?, nil: return "default"
        default: return nil
        }
    }
}
