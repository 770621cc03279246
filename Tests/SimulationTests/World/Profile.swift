@testable import Supervisor

/// What kind of story a world tells, so that each promise is really put to the test in some of them.
enum Profile: CaseIterable {
    /// Nothing fails.
    case calm
    /// Everything fails, now and then.
    case stormy
    /// One slot's processes die at every start; the load is light, and the others serve all of it.
    case crashLoop
    /// Some requests kill whatever worker they get to, and are made again.
    case poison
    /// Processes die at start, are slow to start, or cannot be started.
    case badStarts
    /// Workers hang, and ignore cancels, the end of stdin and SIGTERM.
    case hungWorkers
    /// Many more calls than there is capacity; no faults.
    case overload
    /// Both sides talk garbage.
    case garbage
    /// Workers babble on their stdout.
    case noise
    /// Clients that do not read.
    case slowClients
    /// Workers that do not read, or close their stdin.
    case deafWorkers
    /// Workers are recycled, restarted, reloaded, added, taken away and drained; no faults.
    case exchange
    /// Pools grow and shrink by themselves; no faults, and no operator.
    case elastic
    /// Workers grow beyond the memory they may have.
    case growth
    /// Clients cancel and leave all the time.
    case cancellations
    /// Workers answer in chunks, and clients cancel, leave and read slowly.
    case streams
    /// The supervisor is stopped in the middle, perhaps twice.
    case stopMidway
}

/// What can happen in a world, and how often.
struct Weather {
    var profile: Profile
    // Workers. Chances are per call, per start, per health check.
    var badCall = 0.0
    var badCalls: [WorkerBehaviour] = []
    var badStart = 0.0
    var badStarts: [WorkerTemper.Start] = []
    var failedSpawn = 0.0
    /// Ignores the end of stdin; ignores SIGTERM; ignores cancels.
    var stubborn = 0.0
    var badHealth = 0.0
    /// Chance that a call kills every worker that gets it.
    var poison = 0.0
    /// Milliseconds that a good answer takes.
    var service: ClosedRange<Int64> = 1...30
    /// The slot of the first pool whose processes always die at start.
    var loopingSlot: Int?

    // Clients. Chances are per action.
    var clients = 4
    var actions = 80
    /// Milliseconds between two actions of a client.
    var pace: ClosedRange<Int64> = 1...200
    var cancels = 0.08
    var leaves = 0.0
    var garbage = 0.0
    var stalls = 0.0
    /// Chance that a call asks for a timeout of its own.
    var ownTimeouts = 0.5
    /// Chance that an operator asks for something, and what.
    var controls = 0.0
    /// Whether that changes the size of pools.
    var isResized = false

    // The machine.
    /// A tick may come so much too late, and then has several events.
    var lag: Nanoseconds = 0
    /// The wall clock is set forward and back by days.
    var clockJumps = false
    /// When the supervisor is told to stop in the middle of everything; nil: when all is over.
    var stopsAfter: Nanoseconds?
    var stopsTwice = false
    /// How long all is left in peace before the audit at the end.
    var peace: Nanoseconds = .seconds(14)

    /// Whether workers come and go without a fault.
    var exchangesWorkers: Bool { self.profile == .exchange || self.profile == .elastic }
}

extension Weather {
    init(_ random: inout SeededGenerator) {
        self.init(profile: Profile.allCases.randomElement(using: &random) ?? .calm)
        self.setUp(&random)
        self.clockJumps = Int.random(in: 0..<4, using: &random) == 0
        if Int.random(in: 0..<4, using: &random) == 0 {
            self.lag = .milliseconds(Int64.random(in: 1...20, using: &random))
        }
    }

    private mutating func setUp(_ random: inout SeededGenerator) {
        switch self.profile {
        case .calm: break
        case .stormy: self.makeStormy([0.05, 0.3].randomElement(using: &random) ?? 0.3)
        case .crashLoop:
            self.loopingSlot = 0
            self.badStart = 1
            self.badStarts = [.dies, .cannotBeStarted]
            self.pace = 50...400
            self.clients = 2
        case .poison:
            self.poison = 0.1
            self.badCall = 0.05
            self.badCalls = [.crash]
        case .badStarts:
            self.badStart = 0.5
            self.badStarts = WorkerTemper.Start.allCases
            self.failedSpawn = 0.3
            self.badHealth = 0.1
            self.peace = .seconds(75)
        case .hungWorkers:
            self.badCall = 0.15
            self.badCalls = [.hang, .hang, .answerSlowly]
            self.stubborn = 0.7
            self.cancels = 0.15
        case .overload:
            self.clients = 6
            self.actions = 420
            self.pace = 1...20
            self.service = 100...100
            self.cancels = 0
            self.ownTimeouts = 0
        case .garbage:
            self.badCall = 0.3
            self.badCalls = WorkerBehaviour.garbage
            self.garbage = 0.4
        case .noise:
            self.badCall = 0.5
            self.badCalls = [.noiseThenAnswer, .noiseThenAnswer, .flood, .halfLine]
            self.badStart = 0.05
            self.badStarts = [.floods]
        case .slowClients:
            self.stalls = 0.15
            self.leaves = 0.01
            self.garbage = 0.03
            self.pace = 1...100
            self.peace = .seconds(70)
        case .deafWorkers:
            self.badCall = 0.15
            self.badCalls = [.stopReading, .closeInput, .closeOutputAndLive, .closeOutputAndDie]
            self.stubborn = 0.2
        case .exchange:
            self.controls = 0.08
            self.isResized = Bool.random(using: &random)
            self.service = 1...Int64.random(in: 10...200, using: &random)
            self.pace = 1...100
            self.actions = 160
            self.ownTimeouts = 0.2
            self.peace = .seconds(50)
            self.badCalls = [.grow]
            self.badCall = [0, 0.1].randomElement(using: &random) ?? 0
        case .elastic:
            self.service = 20...200
            self.pace = 1...60
            self.actions = 240
            self.ownTimeouts = 0.1
        case .growth:
            self.badCall = 0.1
            self.badCalls = [.grow]
            self.pace = 1...400
        case .cancellations:
            self.cancels = 0.4
            self.leaves = 0.05
            self.service = 1...300
            self.badCall = 0.1
            self.badCalls = [.answerSlowly, .answerTwice, .answerAgainLater]
            self.stubborn = 0.1
        case .streams:
            self.badCall = 0.7
            self.badCalls = WorkerBehaviour.streams + [.hang, .crash]
            self.cancels = 0.1
            self.leaves = 0.02
            self.stalls = 0.08
            self.stubborn = 0.1
            self.pace = 1...100
            self.peace = .seconds(70)
        case .stopMidway:
            self.makeStormy([0, 0.1, 0.3].randomElement(using: &random) ?? 0.1)
            self.badCall = max(self.badCall, 0.1)
            self.badCalls += [.hang, .hang, .hang, .answerSlowly, .answerSlowly, .answerSlowly]
            self.stopsAfter = .milliseconds(Int64.random(in: 0...2500, using: &random))
            self.stopsTwice = Bool.random(using: &random)
        }
    }

    private mutating func makeStormy(_ rate: Double) {
        self.badCall = rate
        self.badCalls = WorkerBehaviour.allCases
        self.badStart = rate / 2
        self.badStarts = WorkerTemper.Start.allCases
        self.failedSpawn = rate / 3
        self.stubborn = rate
        self.badHealth = rate / 2
        self.poison = rate / 8
        self.leaves = rate / 20
        self.garbage = rate / 10
        self.stalls = rate / 10
    }

    /// No new faults: what is wrong may heal.
    mutating func clearUp() {
        self.badCall = 0
        self.badStart = self.loopingSlot == nil ? 0 : 1
        self.failedSpawn = 0
        self.stubborn = 0
        self.badHealth = 0
        self.poison = 0
        self.garbage = 0
        self.stalls = 0
    }
}

extension Configuration {
    /// A configuration for a world: short times and small limits, so that each of them is met.
    static func virtual(for weather: Weather, _ random: inout SeededGenerator) -> Configuration {
        var configuration = Configuration()
        configuration.pools = Self.virtualPools(for: weather, &random)
        if configuration.pools.count > 1, Bool.random(using: &random) {
            configuration.loadBalancer.techniqueRouting = ["beta": "second"]
        }
        configuration.loadBalancer.strategy =
            Configuration.Strategy.allCases.randomElement(using: &random) ?? .roundRobin
        configuration.loadBalancer.queueSize =
            weather.profile == .crashLoop ? 256 : Int.random(in: 1...32, using: &random)
        configuration.loadBalancer.queueTimeout =
            [0, .milliseconds(200), .seconds(5)].randomElement(using: &random) ?? 0
        if weather.profile == .crashLoop { configuration.loadBalancer.queueTimeout = 0 }
        configuration.timeouts.standard = .seconds(3)
        configuration.timeouts.max = .seconds(10)
        configuration.timeouts.perMethod = ["job.run": .seconds(2)]
        configuration.timeouts.streamTotal =
            [.milliseconds(2500), .seconds(4)].randomElement(using: &random) ?? 0
        configuration.timeouts.streamIdle =
            [.milliseconds(300), .seconds(30)].randomElement(using: &random) ?? 0
        configuration.timeouts.cancelGrace = .milliseconds(300)
        configuration.timeouts.termGrace = .milliseconds(500)
        configuration.timeouts.shutdownGrace = .milliseconds(Int64.random(in: 200...2000, using: &random))
        configuration.health.interval = .seconds(1)
        configuration.health.timeout = .milliseconds(500)
        configuration.health.noiseLines = Int.random(in: 2...8, using: &random)
        configuration.health.noiseBytes = 4096
        configuration.restart.maxDeaths = Int.random(in: 2...6, using: &random)
        configuration.limits.inFlightPerConnection =
            [.overload, .crashLoop, .exchange, .elastic].contains(weather.profile)
            ? 256 : Int.random(in: 3...16, using: &random)
        configuration.retry.budgetMin = Int.random(in: 1...3, using: &random)
        configuration.limits.connections = 12
        configuration.timeouts.controlWait = .seconds(5)
        if weather.exchangesWorkers { configuration.makeElastic(&random) }
        if weather.profile == .exchange { configuration.recycleWorkers(&random) }
        return configuration
    }

    private mutating func makeElastic(_ random: inout SeededGenerator) {
        for pool in self.pools.indices {
            self.pools[pool].maxWorkers += Int.random(in: 0...2, using: &random)
        }
        self.scaling.downAfter = .milliseconds(Int64.random(in: 100...1000, using: &random))
        self.loadBalancer.queueSize = 64
        self.loadBalancer.queueTimeout = 0
    }

    private mutating func recycleWorkers(_ random: inout SeededGenerator) {
        if Bool.random(using: &random) { self.recycle.maxRequests = Int64.random(in: 2...20, using: &random) }
        if Bool.random(using: &random) {
            self.recycle.maxAge = .milliseconds(Int64.random(in: 500...5000, using: &random))
        }
        if Bool.random(using: &random) { self.recycle.maxRSS = 200 << 20 }
    }

    private static func virtualPools(for weather: Weather, _ random: inout SeededGenerator) -> [Pool] {
        var first = Pool(name: "first", methods: ["rag.*", "job.run", "embedding.create"])
        first.minWorkers = Int.random(in: weather.profile == .crashLoop ? 2...4 : 1...4, using: &random)
        first.maxWorkers = first.minWorkers
        first.startTimeout = .seconds(2)
        // A reload while a pool is prepared finds nothing to exchange, and so cannot fail.
        if weather.profile != .exchange, Int.random(in: 0..<4, using: &random) == 0 {
            first.prepare = ["prepare"]
        }
        if weather.profile == .growth { first.maxMemory = 250 << 20 }
        if Int.random(in: 0..<4, using: &random) == 0 {
            first.maxConcurrency = Int.random(in: 1...3, using: &random)
        }
        guard weather.profile != .overload, Bool.random(using: &random) else { return [first] }
        var second = Pool(name: "second", minWorkers: 2, maxWorkers: 2, methods: ["rag.*", "embedding.*"])
        second.startTimeout = .seconds(2)
        first.methods = ["rag.*", "job.run"]
        if Bool.random(using: &random) {
            first.techniques = ["alpha", "beta"]
            second.techniques = ["beta", "gamma"]
        }
        return [first, second]
    }
}
