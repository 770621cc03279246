import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Random faults of all kinds at once, for as long as wanted.
    ///
    ///     SOAK_SECONDS=600 swift test -c release --filter Soak
    @Suite(.timeLimit(.minutes(120))) struct Soak {
        private static let seconds: Double = {
            getenv("SOAK_SECONDS").flatMap { Double(String(cString: $0)) } ?? Figures.scaled(5, long: 60)
        }()

        @Test("Soak: under faults of all kinds every call is answered, nothing grows and nothing is left")
        func everythingAtOnce() throws {
            let supervisor = try Self.serve()
            let memory = try Self.warmUp(supervisor)
            let descriptors = Processes.descriptorCount(of: supervisor.pid)
            var faults = try FaultMaker(supervisor)
            var storm = try CallStorm(supervisor, connections: 24, depth: 2, seed: 3, plan: Self.call)
            var record = SoakRecord(supervisor)
            try storm.run(for: Self.seconds, patience: 30) { elapsed in
                try faults.disturb(at: elapsed)
                record.sample(at: elapsed)
            }
            try faults.finish()
            let (account, bursts) = (storm.account, faults.burst.account)
            print("Soak: \(account.summary)\nSoak: bursts: \(bursts.summary)\nSoak: faults \(faults.counts)")
            for account in [account, bursts] {
                #expect(account.unanswered == 0 && account.duplicates == 0 && account.foreign == 0)
            }
            #expect(account.results > account.sent / 4)
            record.judge(memoryBefore: memory, seconds: Self.seconds)
            storm.close()
            faults.burst.close()
            try supervisor.waitUntilReady(4, within: 30)
            // One more than before: the connection of who made the faults.
            do {
                try eventually(within: 15, "descriptors are back to \(descriptors)") {
                    Processes.descriptorCount(of: supervisor.pid) <= descriptors + 1
                }
            } catch {
                let open = Processes.descriptors(of: supervisor.pid)
                throw Failure("\(error): \(open.sorted()); \(try supervisor.status().text)")
            }
            #expect(Processes.zombies(of: supervisor.pid) == [])
            supervisor.process.signal(SIGTERM)
            #expect(try supervisor.process.exit() == .exited(code: 0))
            try eventually(within: 2, "no process is left") {
                Processes.ofProject(supervisor.directory.path).isEmpty
            }
            record.printRows(account, bursts)
        }

        /// Four workers, about half of them in Python, each with children inside and outside of its group.
        private static func serve() throws -> SupervisorProcess {
            let arguments = [
                "--concurrency", "8", "--cancel", "honour", "--grandchildren", "plain", "--grandchildren",
                "setsid",
            ]
            let commands = try FixtureLanguage.available.map { language in
                try Programs.fixtureWorker(arguments, in: language).map { "'\($0)'" }.joined(separator: " ")
            }
            return try SupervisorProcess(
                workers: 4,
                worker: [
                    "/bin/sh", "-c",
                    "case $WORKER_ID in *[0-9a-h]) exec \(commands[0]);; *) exec \(commands[commands.count - 1]);; esac",
                ],
                settings: """
                    restart: { max_deaths: 1000000, backoff_max: "200ms" },
                    health: { interval: "500ms", timeout: "500ms", unhealthy_threshold: 2 },
                    timeouts: { default: "2s", cancel_grace: "300ms", term_grace: "500ms" },
                    logging: { level: "error" },
                    """)
        }

        /// Everything that is allocated or opened once is there: a supervisor keeps its first guardian's pipe and
        /// pidfd when it gets a second one.
        ///
        /// - Returns: the supervisor's resident memory in kilobytes.
        private static func warmUp(_ supervisor: SupervisorProcess) throws -> Int {
            var storm = try CallStorm(supervisor, connections: 24, depth: 16) { _ in .init(method: "echo") }
            try storm.run(for: 1)
            storm.close()
            let first = try #require(supervisor.guardian)
            kill(first, SIGKILL)
            try eventually("there is another guardian") {
                try supervisor.guardian.map { $0 != first } == true
                    && supervisor.client().call("ping")["result"] != nil
            }
            try eventually("they are gone") { try supervisor.status()["connections"] == 1 }
            return Processes.residentKilobytes(of: supervisor.pid)
        }

        /// What a client asks for; about one call in ten makes trouble.
        private static func call(_ random: inout SeededGenerator) -> CallStorm.Plan {
            let wait = Int.random(in: 1...30, using: &random)
            switch Int.random(in: 0..<1000, using: &random) {
            case 0..<600: return .init(method: "rag.execute", timeoutMilliseconds: 2000)
            case 600..<700: return .init(method: "echo", timeoutMilliseconds: 2000)
            case 700..<800:
                return .init(method: "sleep", params: ",\"ms\":\(wait)", timeoutMilliseconds: 2000)
            case 800..<840:
                return .init(
                    method: "sleep", params: ",\"ms\":1000", timeoutMilliseconds: 2000,
                    cancelledAfter: Double(wait) / 1000)
            case 840..<860:
                return .init(method: "sleep", params: ",\"ms\":1000", hangsUpAfter: Double(wait) / 1000)
            case 860..<900:
                return .init(method: "sleep", params: ",\"ms\":300", timeoutMilliseconds: wait)
            case 900..<920: return .init(method: "twice", timeoutMilliseconds: 2000)
            case 920..<940: return .init(method: "foreign", timeoutMilliseconds: 2000)
            default: return self.troublesomeCall(wait, &random)
            }
        }

        private static func troublesomeCall(_ wait: Int, _ random: inout SeededGenerator) -> CallStorm.Plan {
            func plan(_ method: String, _ params: String = "", timeout: Int = 2000) -> CallStorm.Plan {
                .init(method: method, params: params, timeoutMilliseconds: timeout, isEchoed: false)
            }
            switch Int.random(in: 0..<60, using: &random) {
            case 0..<15: return plan("noise", ",\"lines\":2")
            case 15..<25: return plan("spill", ",\"hex\":\"7b226a736f6e72706322\(wait % 2)0\"")
            case 25..<35: return plan("chatter", ",\"bytes\":2048")
            case 35..<45: return plan("big", ",\"bytes\":100000")
            case 45..<50: return plan("unreadable")
            case 50..<53: return plan("crash")
            case 53..<55: return plan("half_line")
            case 55..<57: return plan("stop_reading", ",\"ms\":200")
            case 57..<58: return plan("close_output", timeout: 500)
            default: return plan("hang", timeout: 300)
            }
        }
    }
}

/// Makes a fault every now and then.
private struct FaultMaker {
    enum Fault: String, CaseIterable {
        case killWorker, killAnotherWorker, freezeWorker, killGuardian, restartAll, vanishingClients, overload
    }

    private let supervisor: SupervisorProcess
    private let control: Client
    private var random = SeededGenerator(seed: 17)
    private var next = 0.0
    private var openRestarts = 0
    private var frozen: [(pid: Int32, until: Double)] = []
    var burst: CallStorm
    private(set) var counts: [String: Int] = [:]

    init(_ supervisor: SupervisorProcess) throws {
        self.supervisor = supervisor
        self.control = try supervisor.client()
        self.burst = try CallStorm(supervisor, connections: 8, depth: 80) { random in
            .init(method: "sleep", params: ",\"ms\":\(Int.random(in: 0...20, using: &random))")
        }
    }

    mutating func disturb(at elapsed: Double) throws {
        try self.burst.pump()
        try self.takeControlAnswers()
        for stopped in self.frozen where stopped.until <= elapsed { kill(stopped.pid, SIGCONT) }
        self.frozen.removeAll { $0.until <= elapsed }
        guard elapsed >= self.next, let fault = Fault.allCases.randomElement(using: &self.random) else {
            return
        }
        self.next = elapsed + Double.random(in: 0.05...0.4, using: &self.random)
        self.counts[fault.rawValue, default: 0] += 1
        try self.make(fault, elapsed)
    }

    private mutating func make(_ fault: Fault, _ elapsed: Double) throws {
        switch fault {
        case .killWorker, .killAnotherWorker:
            if let pid = try self.worker() { kill(pid, SIGKILL) }
        case .freezeWorker:
            guard let pid = try self.worker() else { return }
            kill(pid, SIGSTOP)
            self.frozen.append((pid, elapsed + Double.random(in: 0.05...3, using: &self.random)))
        case .killGuardian:
            self.supervisor.killGuardian()
        case .restartAll:
            // It begins, and is answered, when the one before it is over.
            try self.control.start("supervisor.restart", #"{"rolling":true}"#)
            self.openRestarts += 1
        case .vanishingClients:
            for round in 0..<10 {
                let client = try self.supervisor.client()
                if round % 2 == 0 { try client.start("sleep", #"{"ms":500}"#) }
                try client.sendBytes(Array(#"{"jsonrpc":"2.0","id":1,"meth"#.utf8))
            }
        case .overload:
            try self.burst.send(for: 0.05, rate: 12_000)
        }
    }

    private mutating func takeControlAnswers() throws {
        while let answer = try self.control.takeJSON() {
            let isExpected = answer["result"] != nil || answer.errorReason == "too_many_rollouts"
            self.openRestarts -= 1
            guard isExpected else { throw Failure("restart: \(answer.text)") }
        }
    }

    private mutating func worker() throws -> Int32? {
        try self.supervisor.workerPIDs().randomElement(using: &self.random)
    }

    mutating func finish() throws {
        for stopped in self.frozen { kill(stopped.pid, SIGCONT) }
        try self.burst.drain(within: 30)
        // Restarts that wait for one another go on: all are over when one more is.
        try eventually(within: 60, "the restarts have begun") {
            try self.takeControlAnswers()
            return self.openRestarts == 0
        }
        let last = try self.control.call(
            "supervisor.restart", #"{"rolling":true,"wait":true}"#, within: 60)
        guard last["result"] != nil else { throw Failure("the last restart: \(last.text)") }
    }
}

/// The supervisor's memory and descriptors, once a second.
private struct SoakRecord {
    private let supervisor: SupervisorProcess
    private var memory: [Int] = []
    private var descriptors: [Int] = []
    private var next = 0.0

    init(_ supervisor: SupervisorProcess) { self.supervisor = supervisor }

    mutating func sample(at elapsed: Double) {
        guard elapsed >= self.next else { return }
        self.next = elapsed + 1
        self.memory.append(Processes.residentKilobytes(of: self.supervisor.pid))
        self.descriptors.append(Processes.descriptorCount(of: self.supervisor.pid))
        guard self.memory.count % 30 == 0 else { return }
        print(
            "Soak: after \(Int(elapsed)) s: \(self.memory.last ?? 0) kB, \(self.descriptors.last ?? 0) descriptors"
        )
    }

    /// The highest of the first and of the last quarter.
    private func quarters(_ values: [Int]) -> (first: Int, last: Int) {
        let count = max(1, values.count / 4)
        return (values.prefix(count).max() ?? 0, values.suffix(count).max() ?? 0)
    }

    /// Flat: what there is at the end was there after the first quarter, but for noise.
    func judge(memoryBefore: Int, seconds: Double) {
        let (memory, descriptors) = (self.quarters(self.memory), self.quarters(self.descriptors))
        print(
            "Soak: memory \(memoryBefore) kB before, \(memory.first) kB in the first quarter, \(memory.last) kB in "
                + "the last; descriptors \(descriptors.first), \(descriptors.last)")
        #expect(memory.last - memory.first < 8192)
        // Four workers, their replacements, 32 clients and those that vanish: a leak would add hundreds.
        #expect(descriptors.last - descriptors.first < 40)
    }

    func printRows(_ account: CallStorm.Account, _ bursts: CallStorm.Account) {
        let (memory, descriptors) = (self.quarters(self.memory), self.quarters(self.descriptors))
        Figures.row(
            "all",
            "soak of \(self.memory.count) s, faults of all kinds, \(account.sent + bursts.sent) calls: "
                + "unanswered, answered twice",
            measured: "\(account.unanswered + bursts.unanswered), \(account.duplicates + bursts.duplicates)",
            promised: "0, 0")
        Figures.row(
            "all", "soak: most memory in the first and in the last quarter; descriptors; processes left",
            measured: "\(memory.first / 1024) MB, \(memory.last / 1024) MB; \(descriptors.first), "
                + "\(descriptors.last); 0", promised: "flat; flat; 0")
    }
}
