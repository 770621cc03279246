import Protocol

/// Everything an operator can set (protocol §8), with its defaults. Durations are nanoseconds.
///
/// A plain value: reading it from JSON5 and judging it is `ConfigurationLoader`'s work.
struct Configuration: Equatable, Sendable {
    var socket = Socket()
    var controlSocket: Socket?
    /// User ids that may call operators' methods, besides root and the supervisor's own.
    var operators: [UInt32] = []
    /// At least one; names are unique.
    var pools: [Pool] = [Pool(name: "default")]
    var loadBalancer = LoadBalancer()
    var timeouts = Timeouts()
    var health = Health()
    var restart = Restart()
    var recycle = Recycle()
    var retry = Retry()
    var scaling = Scaling()
    var cache = Cache()
    var limits = Limits()
    var logging = Logging()

    struct Socket: Equatable, Sendable {
        /// nil: the first default path that may be created (protocol §7).
        var path: String?
        /// Permission bits of the socket file.
        var mode: UInt32 = 0o600
        /// Name or number of the group that owns the socket file.
        var group: String?
    }

    /// Workers of one kind, and the calls they serve.
    struct Pool: Equatable, Sendable {
        var name: String
        var command: [String] = ["worker"]
        /// Run at every start of the pool before its first worker; empty: nothing is.
        var prepare: [String] = []
        /// nil: where `serve` was started.
        var directory: String?
        var environment: [String: String] = [:]
        /// Names of the supervisor's environment that workers inherit; nil: all.
        var inheritEnvironment: [String]?
        /// nil: the pool's directory.
        var projectRoot: String?
        var minWorkers = 2
        var maxWorkers = 2
        /// Globs of the methods the pool serves.
        var methods: [String] = ["*"]
        /// nil: what its workers declare.
        var techniques: [String]?
        /// Cap on the declared number; nil: as declared, 1 when nothing is declared.
        var maxConcurrency: Int?
        var startTimeout: Nanoseconds = .seconds(60)
        /// Bytes of the process group above which a worker is killed; nil: no limit.
        var maxMemory: Int64?
        var resourceLimits: [ResourceLimit] = []
    }

    /// One `setrlimit` of a worker: soft and hard limit are both set to the value.
    struct ResourceLimit: Equatable, Sendable {
        enum Kind: String, CaseIterable, Sendable {
            case addressSpace = "as"
            case core, cpu, data, fsize, nofile, nproc, stack
        }
        var kind: Kind
        var value: UInt64
    }

    struct LoadBalancer: Equatable, Sendable {
        var strategy = Strategy.roundRobin
        /// Technique to pool name.
        var techniqueRouting: [String: String] = [:]
        /// Calls waiting per pool.
        var queueSize = 256
        /// 0: as long as the call's deadline.
        var queueTimeout: Nanoseconds = .seconds(5)
    }

    enum Strategy: String, CaseIterable, Sendable {
        case roundRobin = "round_robin"
        case leastLoad = "least_load"
        case performanceBased = "performance_based"
    }

    struct Timeouts: Equatable, Sendable {
        var standard: Nanoseconds = .seconds(60)
        /// Method to timeout.
        var perMethod: [String: Nanoseconds] = [:]
        var max: Nanoseconds = .seconds(600)
        var control: Nanoseconds = .seconds(5)
        var controlWait: Nanoseconds = .seconds(600)
        var streamIdle: Nanoseconds = .seconds(30)
        var streamTotal: Nanoseconds = .seconds(600)
        var cancelGrace: Nanoseconds = .seconds(2)
        var termGrace: Nanoseconds = .seconds(5)
        var shutdownGrace: Nanoseconds = .seconds(15)
    }

    struct Health: Equatable, Sendable {
        var interval: Nanoseconds = .seconds(10)
        var timeout: Nanoseconds = .seconds(5)
        var unhealthyThreshold = 3
        /// Stray lines on stdout in 10 s that recycle a worker.
        var noiseLines = 100
        /// Stray bytes on stdout in 10 s that recycle a worker.
        var noiseBytes: Int64 = 1 << 20
    }

    struct Restart: Equatable, Sendable {
        var backoffInitial: Nanoseconds = .milliseconds(100)
        var backoffMax: Nanoseconds = .seconds(30)
        /// Share of a wait that may be taken off at random, 0 to 1.
        var jitter = 0.5
        /// Failed starts in a row within the window that quarantine a worker.
        var maxDeaths = 5
        var window: Nanoseconds = .seconds(60)
    }

    /// nil: off.
    struct Recycle: Equatable, Sendable {
        var maxRequests: Int64?
        var maxAge: Nanoseconds?
        var maxRSS: Int64?
        var jitter = 0.15
    }

    struct Retry: Equatable, Sendable {
        /// The first attempt counts.
        var maxAttempts = 2
        var budgetRatio = 0.2
        var budgetMin = 3
        var methods = ["rag.execute", "embedding.create", "health.check", "metrics.get"]
        /// By technique, or pipeline, the one that takes its place when it fails.
        var fallbackTechniques: [String: String] = [:]
    }

    struct Scaling: Equatable, Sendable {
        var upAfter: Nanoseconds = .milliseconds(100)
        var downAfter: Nanoseconds = .seconds(600)
    }

    struct Cache: Equatable, Sendable {
        var responseCacheSize = 10_000
        var responseCacheBytes: Int64 = 64 << 20
        var responseCacheTTL: Nanoseconds = .seconds(600)
        var embeddingCacheSize = 100_000
        var embeddingCacheBytes: Int64 = 128 << 20
        var embeddingCacheTTL: Nanoseconds = .seconds(86_400)
        var embeddingCacheFile: String?
        var cacheableMethods: [String] = []
        var sharedModels: [String] = []
        /// nil: off.
        var staleWhileRevalidate: Nanoseconds?
        /// nil: off.
        var staleIfError: Nanoseconds?
    }

    struct Limits: Equatable, Sendable {
        var messages = MessageLimits()
        var connections = 1024
        var inFlightPerConnection = 256
        var bytesPerConnection: Int64 = 32 << 20
        var bytesInAll: Int64 = 256 << 20
        /// How long a client may take no byte while output waits for it.
        var writeStall: Nanoseconds = .seconds(60)
    }

    struct Logging: Equatable, Sendable {
        enum Format: String, CaseIterable, Sendable { case text, json }
        var level = LogLevel.info
        /// nil: text on a terminal, else JSON.
        var format: Format?
        /// nil: standard error.
        var file: String?
        /// Size at which the file is rotated.
        var rotateBytes: Int64 = 64 << 20
        /// Rotated files kept.
        var keep = 7
        /// How long a call may take before it is logged; nil: off.
        var slowRequest: Nanoseconds?
    }
}

enum LogLevel: String, CaseIterable, Comparable, Sendable {
    case debug, info, warning, error

    static func < (left: LogLevel, right: LogLevel) -> Bool { left.rank < right.rank }

    private var rank: Int {
        switch self {
        case .debug: 0
        case .info: 1
        case .warning: 2
        case .error: 3
        }
    }
}
