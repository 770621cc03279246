import Foundation
import Glibc
import Protocol

@testable import Supervisor

/// A supervisor under test, with a directory, a configuration and a socket of its own. It is killed when its owner
/// goes; its guardian takes the workers along.
final class SupervisorProcess {
    let directory: TestDirectory
    let socket: String
    private(set) var process: ChildProcess

    /// - Parameters:
    ///   - worker: the pool's command; nil: the fixture.
    ///   - fixture: arguments of the fixture; `DIR` stands for the test's directory.
    ///   - language: what the fixture is written in.
    ///   - pool: further members of the pool, as JSON5.
    ///   - settings: further members of the configuration, as JSON5.
    ///   - waits: until all workers are ready.
    init(
        workers: Int = 1, worker: [String]? = nil, fixture: [String] = [],
        language: FixtureLanguage = .python, pool: String = "",
        settings: String = "", environment: [String: String] = [:], descriptorLimit: Int? = nil,
        in directory: TestDirectory? = nil, waits: Bool = true
    ) throws {
        let directory = try directory ?? TestDirectory()
        self.directory = directory
        self.socket = directory.file("s")
        let command = try (worker ?? Programs.fixtureWorker(fixture, in: language)).map {
            $0.replacingOccurrences(of: "DIR", with: directory.path)
        }
        let commandText = JSONValue.array(command.map { .string($0) }).text
        try directory.write(
            "{ pools: [{ command: \(commandText), min_workers: \(workers), \(pool) }], \(settings) }",
            to: "supervisor.json5")
        self.process = try ChildProcess(
            [
                Programs.supervisor, "serve", "--config", directory.file("supervisor.json5"), "--socket",
                self.socket,
            ],
            environment: ChildProcess.environment.merging(environment) { $1 }, directory: directory.path,
            descriptorLimit: descriptorLimit)
        try self.waitUntilListening()
        if waits { try self.waitUntilReady(workers) }
    }

    deinit { self.process.signal(SIGKILL) }

    var pid: Int32 { self.process.pid }
    var log: String { self.process.errors }

    /// nil while there is none.
    /// Looked for again and again: the kernel's list of children misses some while others come and go.
    var guardian: Int32? {
        for _ in 0..<100 {
            let found = Processes.children(of: self.pid).first { Processes.name($0) == "sv-guardian" }
            if let found { return found }
            usleep(5000)
        }
        return nil
    }

    func killGuardian() {
        if let guardian = self.guardian { kill(guardian, SIGKILL) }
    }

    /// The log's records of one event.
    func records(_ event: String) -> [JSONValue] {
        self.log.split(separator: "\n").compactMap { try? JSONValue(parsing: String($0)) }
            .filter { $0["event"]?.stringValue == event }
    }

    /// Starts it again, on the same socket and configuration.
    func startAgain() throws {
        self.process = try ChildProcess(self.process.command, directory: self.directory.path)
        try self.waitUntilListening()
    }

    func client(_ framing: Client.Framing = .lines) throws -> Client {
        try Client(self.socket, framing, of: self)
    }

    func status() throws -> JSONValue {
        let response = try self.client().call("supervisor.status")
        guard let result = response["result"] else { throw Failure("no status: \(response.text)") }
        return result
    }

    /// The first pool's worker in that slot.
    func worker(_ slot: Int = 0) throws -> JSONValue { try self.status()[path: "pools.0.workers.\(slot)"] }

    /// The processes of the first pool.
    func workerPIDs() throws -> [Int32] {
        try (self.status()[path: "pools.0.workers"].arrayValue ?? []).compactMap {
            $0["pid"]?.integerValue.map { Int32($0) }
        }
    }

    func waitUntilListening() throws {
        try eventually("the supervisor listens; it said: \(self.log)") {
            guard self.process.isRunning else { throw Failure("it ended: \(self.log)") }
            return UnixSocket.owner(of: self.socket)?.pid == self.pid
        }
    }

    func waitUntilReady(_ count: Int, within seconds: Double = 15) throws {
        try eventually(within: seconds, "\(count) workers are ready; the log: \(self.log.suffix(3000))") {
            let workers = try self.status()[path: "pools.0.workers"].arrayValue ?? []
            return workers.count { ["ready", "busy"].contains($0["state"]?.stringValue) } >= count
        }
    }

    /// Waits until the worker in a slot is as wanted.
    @discardableResult
    func waitForWorker(
        inSlot slot: Int = 0, within seconds: Double = 10, _ what: String, _ isSo: (JSONValue) -> Bool
    ) throws -> JSONValue {
        var last = JSONValue.null
        do {
            try eventually(within: seconds, what) {
                last = try self.worker(slot)
                return isSo(last)
            }
        } catch { throw Failure("\(error); last seen: \(last.text); the log: \(self.log.suffix(3000))") }
        return last
    }

    /// Runs a command of the command line against it.
    func command(_ arguments: [String], input: String = "", within seconds: Double = 20) throws -> Command {
        try Command.run(
            [Programs.supervisor] + arguments + ["--socket", self.socket], input: input, within: seconds)
    }
}
