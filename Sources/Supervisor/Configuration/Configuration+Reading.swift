import Protocol

// The keys of protocol §8, each with the values that make sense for it. Defaults are `Configuration`'s own.

extension Configuration {
    /// Workers that one pool may have at most.
    static let workersPerPool = 1024
    private static let poolCount = 64
    /// A duration that may be zero, which means "at once".
    private static let orZero: ClosedRange<Int64> = 0...DurationText.longest

    /// Takes all keys out of the top of a configuration; what it does not name keeps its value.
    mutating func read(_ root: inout ConfigurationObject) {
        root.object("socket") { self.socket.read(&$0, pathIsRequired: false) }
        root.object("control_socket", isDescribed: self.controlSocket != nil) { object in
            var socket = self.controlSocket ?? Socket()
            socket.read(&object, pathIsRequired: true)
            if let path = socket.path, path == self.socket.path {
                object.report("path", "expected another path than that of socket")
            }
            self.controlSocket = socket
        }
        root.read("operators", into: &self.operators, .list(of: .integer(0...UInt32.max - 1)))
        self.readPools(&root)
        self.readLoadBalancer(&root)
        root.object("timeouts") { self.timeouts.read(&$0) }
        root.object("health") { self.health.read(&$0) }
        root.object("restart") { self.restart.read(&$0) }
        root.object("recycle") { self.recycle.read(&$0) }
        root.object("retry") { self.retry.read(&$0) }
        root.object("scaling") { scaling in
            scaling.read("up_after", into: &self.scaling.upAfter, .duration())
            scaling.read("down_after", into: &self.scaling.downAfter, .duration())
        }
        root.object("cache") { self.cache.read(&$0) }
        root.object("limits") { self.limits.read(&$0) }
        root.object("logging") { self.logging.read(&$0) }
    }

    private mutating func readPools(_ root: inout ConfigurationObject) {
        guard !root.isDescribing else { return root.describe("pools", self.pools) { $1.read(&$0) } }
        guard root.value("pools") != nil else { return }
        var pools: [Pool] = []
        let count = root.objects("pools", limit: Self.poolCount) { object in
            var pool = Pool(name: "default")
            pool.read(&object)
            if pools.contains(where: { $0.name == pool.name }) {
                object.report("name", "there is another pool named \(pool.name)")
            }
            pools.append(pool)
        }
        if let count, !(1...Self.poolCount).contains(count) {
            root.report("pools", "expected 1 to \(Self.poolCount) pools, found \(count)")
        }
        if !pools.isEmpty { self.pools = pools }
    }

    private mutating func readLoadBalancer(_ root: inout ConfigurationObject) {
        let names = self.pools.map(\.name)
        root.object("load_balancer") { object in
            object.read("strategy", into: &self.loadBalancer.strategy, .strategy)
            object.read(
                "technique_routing", into: &self.loadBalancer.techniqueRouting,
                .dictionary(of: .pool(among: names)))
            object.read("queue_size", into: &self.loadBalancer.queueSize, .integer(1...1_000_000))
            object.read("queue_timeout", into: &self.loadBalancer.queueTimeout, .duration(Self.orZero))
        }
    }
}

// MARK: - Sections

extension Configuration.Socket {
    fileprivate mutating func read(_ object: inout ConfigurationObject, pathIsRequired: Bool) {
        object.read("path", into: &self.path, .socketPath)
        object.read("mode", into: &self.mode, .fileMode)
        object.read("group", into: &self.group, .nameOrNumber)
        if pathIsRequired, object.value("path") == nil { object.report("path", "expected a path") }
    }
}

extension Configuration.Pool {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.read("name", into: &self.name, .poolName)
        object.read("command", into: &self.command, .command(atLeast: 1))
        object.read("prepare", into: &self.prepare, .command(atLeast: 0))
        object.read("directory", into: &self.directory, .text)
        object.read("env", into: &self.environment, .dictionary(of: .variableValue, keys: .workerVariable))
        object.read("inherit_env", into: &self.inheritEnvironment, .list(of: .variableName))
        object.read("project_root", into: &self.projectRoot, .text)
        self.readWorkers(&object)
        object.read("methods", into: &self.methods, .list(of: .text, atLeast: 1))
        object.read("techniques", into: &self.techniques, .list(of: .text))
        object.read("max_concurrency", into: &self.maxConcurrency, .integer(1...65_536))
        object.read("start_timeout", into: &self.startTimeout, .duration())
        object.readOrOff("max_memory", into: &self.maxMemory, .bytes(1 << 20...ByteCountText.largest))
        object.object("rlimits") { limits in
            self.resourceLimits = Kind.allCases.compactMap { self.readLimit($0, &limits) }
        }
    }

    private typealias Kind = Configuration.ResourceLimit.Kind

    /// `max_workers` is `min_workers` where it is not given, and the default of `min_workers` yields to a
    /// lower `max_workers`.
    private mutating func readWorkers(_ object: inout ConfigurationObject) {
        let workers = ConfigurationType<Int>.integer(1...Configuration.workersPerPool)
        let minIsGiven = object.read("min_workers", into: &self.minWorkers, workers)
        let maxIsGiven = object.read("max_workers", into: &self.maxWorkers, workers)
        if !maxIsGiven {
            self.maxWorkers = self.minWorkers
        } else if !minIsGiven {
            self.minWorkers = min(self.minWorkers, self.maxWorkers)
        } else if self.maxWorkers < self.minWorkers {
            object.report("max_workers", "expected at least min_workers, which is \(self.minWorkers)")
        }
    }

    private func readLimit(
        _ kind: Kind, _ limits: inout ConfigurationObject
    ) -> Configuration.ResourceLimit? {
        var value = self.resourceLimits.first { $0.kind == kind }.map { Int64(clamping: $0.value) }
        switch kind {
        case .addressSpace, .core, .data, .fsize, .stack: limits.read(kind.rawValue, into: &value, .bytes())
        case .cpu, .nofile, .nproc: limits.read(kind.rawValue, into: &value, .integer(1...1 << 30))
        }
        return value.map { Configuration.ResourceLimit(kind: kind, value: UInt64($0)) }
    }
}

extension Configuration.Timeouts {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        let orZero: ClosedRange<Int64> = 0...DurationText.longest
        object.read("max", into: &self.max, .duration())
        object.read("default", into: &self.standard, .timeout(atMost: self.max))
        object.read("per_method", into: &self.perMethod, .dictionary(of: .timeout(atMost: self.max)))
        object.read("control", into: &self.control, .duration())
        object.read("control_wait", into: &self.controlWait, .duration())
        object.read("stream_idle", into: &self.streamIdle, .duration())
        object.read("stream_total", into: &self.streamTotal, .duration())
        object.read("cancel_grace", into: &self.cancelGrace, .duration(orZero))
        object.read("term_grace", into: &self.termGrace, .duration(orZero))
        object.read("shutdown_grace", into: &self.shutdownGrace, .duration(orZero))
    }
}

extension Configuration.Health {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.read("interval", into: &self.interval, .duration())
        object.read("timeout", into: &self.timeout, .duration())
        object.read("unhealthy_threshold", into: &self.unhealthyThreshold, .integer(1...1000))
        object.read("noise_lines", into: &self.noiseLines, .integer(1...1_000_000_000))
        object.read("noise_bytes", into: &self.noiseBytes, .bytes(1...ByteCountText.largest))
    }
}

extension Configuration.Restart {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        let initialIsGiven = object.read("backoff_initial", into: &self.backoffInitial, .duration())
        let maxIsGiven = object.read("backoff_max", into: &self.backoffMax, .duration())
        object.read("jitter", into: &self.jitter, .number(0...1))
        object.read("max_deaths", into: &self.maxDeaths, .integer(1...1_000_000_000))
        object.read("window", into: &self.window, .duration())
        guard self.backoffMax < self.backoffInitial else { return }
        if initialIsGiven, maxIsGiven {
            let initial = DurationText.text(self.backoffInitial)
            object.report("backoff_max", "expected at least backoff_initial, which is \(initial)")
        } else if initialIsGiven {
            self.backoffMax = self.backoffInitial
        } else {
            self.backoffInitial = self.backoffMax
        }
    }
}

extension Configuration.Recycle {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.readOrOff("max_requests", into: &self.maxRequests, .integer(1...1_000_000_000_000))
        object.readOrOff("max_age", into: &self.maxAge, .duration())
        object.readOrOff("max_rss", into: &self.maxRSS, .bytes(1 << 20...ByteCountText.largest))
        object.read("jitter", into: &self.jitter, .number(0...1))
    }
}

extension Configuration.Retry {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.read("max_attempts", into: &self.maxAttempts, .integer(1...10))
        object.read("budget_ratio", into: &self.budgetRatio, .number(0...1))
        object.read("budget_min", into: &self.budgetMin, .integer(0...1_000_000))
        object.read("methods", into: &self.methods, .list(of: .text))
        object.read("fallback_techniques", into: &self.fallbackTechniques, .dictionary(of: .text))
    }
}

extension Configuration.Cache {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.read("response_cache_size", into: &self.responseCacheSize, .cacheSize)
        object.read("response_cache_bytes", into: &self.responseCacheBytes, .bytes())
        object.read("response_cache_ttl", into: &self.responseCacheTTL, .duration())
        object.read("embedding_cache_size", into: &self.embeddingCacheSize, .cacheSize)
        object.read("embedding_cache_bytes", into: &self.embeddingCacheBytes, .bytes())
        object.read("embedding_cache_ttl", into: &self.embeddingCacheTTL, .duration())
        object.read("embedding_cache_file", into: &self.embeddingCacheFile, .text)
        object.read("cacheable_methods", into: &self.cacheableMethods, .list(of: .text))
        if let name = self.cacheableMethods.first(where: MethodTable.uncacheable.contains) {
            object.report("cacheable_methods", "\(name) is never cached")
        }
        object.read("shared_models", into: &self.sharedModels, .list(of: .text))
        object.readOrOff("stale_while_revalidate", into: &self.staleWhileRevalidate, .duration())
        object.readOrOff("stale_if_error", into: &self.staleIfError, .duration())
    }
}

extension Configuration.Limits {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        var messageBytes = Int64(self.messages.messageBytes)
        object.read("message_bytes", into: &messageBytes, .bytes(1024...1 << 30))
        self.messages.messageBytes = Int(messageBytes)
        var headerBytes = Int64(self.messages.headerLineBytes)
        object.read("header_line_bytes", into: &headerBytes, .bytes(64...1 << 20))
        self.messages.headerLineBytes = Int(headerBytes)
        object.read("depth", into: &self.messages.depth, .integer(2...JSONScanner.defaultDepthLimit))
        object.read("batch_calls", into: &self.messages.batchCount, .integer(1...100_000))
        object.read("id_bytes", into: &self.messages.idBytes, .integer(16...4096))
        object.read("method_bytes", into: &self.messages.methodBytes, .integer(32...4096))
        object.read(
            "metadata_text_characters", into: &self.messages.metadataTextCharacters, .integer(36...4096))
        object.read("connections", into: &self.connections, .integer(1...1_000_000))
        object.read("in_flight_per_connection", into: &self.inFlightPerConnection, .integer(1...1_000_000))
        self.readBytes(&object)
        object.read("write_stall", into: &self.writeStall, .duration())
    }

    /// Where one of the two is given, the default of the other yields to it.
    private mutating func readBytes(_ object: inout ConfigurationObject) {
        let bytes = ConfigurationType<Int64>.bytes(1024...1 << 40)
        let oneIsGiven = object.read("bytes_per_connection", into: &self.bytesPerConnection, bytes)
        let allIsGiven = object.read("bytes_in_all", into: &self.bytesInAll, bytes)
        guard self.bytesInAll < self.bytesPerConnection else { return }
        if oneIsGiven, allIsGiven {
            let one = ByteCountText.text(self.bytesPerConnection)
            object.report("bytes_in_all", "expected at least bytes_per_connection, which is \(one)")
        } else if allIsGiven {
            self.bytesPerConnection = self.bytesInAll
        } else {
            self.bytesInAll = self.bytesPerConnection
        }
    }
}

extension Configuration.Logging {
    fileprivate mutating func read(_ object: inout ConfigurationObject) {
        object.read("level", into: &self.level, .logLevel)
        object.read("format", into: &self.format, .word())
        object.read("file", into: &self.file, .text)
        object.read("rotate_bytes", into: &self.rotateBytes, .bytes(1024...1 << 40))
        object.read("keep", into: &self.keep, .integer(0...1000))
        object.readOrOff("slow_request", into: &self.slowRequest, .duration())
    }
}

// MARK: - Types of values

extension ConfigurationType where Value == Configuration.Strategy {
    /// `least_connections` is what others call `least_load`.
    static var strategy: Self { .word(synonyms: ["least_connections": .leastLoad]) }
}

extension ConfigurationType where Value == Nanoseconds {
    /// A timeout that `timeouts.max` does not cut.
    static func timeout(atMost maximum: Nanoseconds) -> Self {
        let duration = Self.duration()
        return Self(encode: duration.encode) { value, path, errors in
            guard let timeout = duration.decode(value, path, &errors) else { return nil }
            guard timeout <= maximum else {
                let expectation = "expected at most timeouts.max, which is \(DurationText.text(maximum))"
                errors.append(ConfigurationError(path: path, expectation, at: value.location))
                return nil
            }
            return timeout
        }
    }
}

extension ConfigurationType where Value == LogLevel {
    static var logLevel: Self { .word(synonyms: ["warn": .warning]) }
}

extension ConfigurationType where Value == Int {
    static var workers: Self { .integer(1...Configuration.workersPerPool) }
    /// Entries; 0 turns the cache off.
    static var cacheSize: Self { .integer(0...100_000_000) }
}

extension ConfigurationType where Value == [String] {
    /// A program and its arguments; the program's name is not empty.
    static func command(atLeast minimum: Int) -> Self {
        let arguments = ConfigurationType<[String]>.list(of: .textOrEmpty, atLeast: minimum)
        return Self(encode: arguments.encode) { value, path, errors in
            guard let command = arguments.decode(value, path, &errors) else { return nil }
            guard command.first != "" else {
                errors.append(
                    ConfigurationError(
                        path: "\(path)[0]", "expected the name of a program", at: value.location))
                return nil
            }
            return command
        }
    }
}

extension ConfigurationType where Value == String {
    static var poolName: Self {
        self.text(where: "1 to 64 letters, digits, '_', '-' and '.'") { name in
            (1...64).contains(name.utf8.count)
                && name.unicodeScalars.allSatisfy {
                    $0.isASCII && ($0.properties.isAlphabetic || "0123456789_-.".unicodeScalars.contains($0))
                }
        }
    }

    static func pool(among names: [String]) -> Self {
        Self(
            "the name of a pool",
            suggest: {
                guard case .string(let name) = $0.content else { return nil }
                return NearestName.find(name, in: names)
            },
            encode: { .string($0) },
            {
                guard case .string(let name) = $0.content, names.contains(name) else { return nil }
                return name
            })
    }

    /// `sun_path` holds 108 bytes, the last of them NUL.
    static var socketPath: Self {
        self.text(where: "a path of 1 to 107 bytes") { (1...107).contains($0.utf8.count) }
    }

    /// One that a pool may set for its workers: the supervisor's own would win without a word.
    static var workerVariable: Self {
        let own = ["WORKER_ID", "WORKER_POOL", "PROJECT_ROOT", "SUPERVISOR_INSTANCE"]
        return Self(encode: { .string($0) }) { value, path, errors in
            guard let name = Self.variableName.decode(value, path, &errors) else { return nil }
            guard !own.contains(name) else {
                let expectation = "expected a variable that the supervisor does not set itself"
                errors.append(ConfigurationError(path: path, expectation, at: value.location))
                return nil
            }
            return name
        }
    }

    static var variableName: Self {
        self.text(where: "the name of an environment variable") {
            !$0.isEmpty && !$0.utf8.contains(UInt8(ascii: "="))
        }
    }

    /// Not quoted when it is wrong: it may be a secret.
    static var variableValue: Self {
        Self(encode: { .string($0) }) { value, path, errors in
            if case .string(let text) = value.content, !text.utf8.contains(0) { return text }
            errors.append(ConfigurationError(path: path, "expected a string without NUL", at: value.location))
            return nil
        }
    }

    static var nameOrNumber: Self {
        Self("a name or a number", encode: { .string($0) }) {
            switch $0.content {
            case .string(let name) where !name.isEmpty && !name.utf8.contains(0): name
            case .integer(let number) where (0..<Int64(UInt32.max)).contains(number): String(number)
            default: nil
            }
        }
    }
}

extension ConfigurationType where Value == UInt32 {
    /// Permission bits in octal, as a string: the number 600 would be read as decimal.
    static var fileMode: Self {
        Self(
            "permission bits in octal, such as \"0660\"",
            encode: { .string(String(String(0o10000 | $0, radix: 8).dropFirst())) }
        ) {
            guard case .string(let text) = $0.content, (3...4).contains(text.utf8.count),
                text.utf8.allSatisfy({ (0x30...0x37).contains($0) }), let mode = UInt32(text, radix: 8)
            else { return nil }
            return mode <= 0o777 ? mode : nil
        }
    }
}
