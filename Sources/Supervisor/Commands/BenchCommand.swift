import Glibc
import Protocol

/// `supervisor bench [OPTION…] [-- COMMAND]`: exit 0 when every round has figures, or every line of the suite passes.
enum BenchCommand {
    static func run(_ arguments: ParsedArguments) throws(CommandFailure) {
        let options = try BenchOptions(arguments)
        guard self.isReleaseBuild else {
            throw .usage(
                "bench reports numbers of release builds only, and this is a debug build: "
                    + "use the one that `swift build -c release` makes")
        }
        let saved = try options.comparePath.map(self.readSaved)
        if let path = options.savePath { try self.checkWritable(path) }
        SignalQueue.ignoreFailingWrites()
        SignalQueue.keepExitStatuses()
        FileDescriptor.occupyStandardNumbers()
        let signals = try self.interrupts()
        let server: BenchServer?
        if let command = options.command {
            server = try BenchServer(command, workers: options.workers)
        } else {
            server = nil
        }
        defer { server?.stop() }
        try server?.waitUntilHealthy(unlessInterrupted: signals)
        // One descriptor a connection; the supervisor that was started has raised its own limit.
        _ = ProcessLimits.raise(.nofile)
        let target = try BenchTarget(
            server.map { [$0.socket] }
                ?? SocketPath.candidates(
                    given: arguments.value("socket"), environment: ProcessEnvironment.current))
        if options.isSuite {
            try self.runSuite(options, target, isAlone: server != nil, signals)
        } else {
            try self.runLoad(options, target, saved, signals)
        }
    }

    /// A debug build is up to 20 times slower: its numbers mislead whoever reads them.
    private static var isReleaseBuild: Bool {
        #if DEBUG
            false
        #else
            true
        #endif
    }

    private static func interrupts() throws(CommandFailure) -> SignalQueue {
        do throws(SystemError) {
            return try SignalQueue([SIGINT, SIGTERM, SIGHUP])
        } catch {
            throw .failed("\(error)")
        }
    }

    // MARK: Load

    private static func runLoad(
        _ options: BenchOptions, _ target: BenchTarget, _ saved: SavedBench?, _ signals: borrowing SignalQueue
    ) throws(CommandFailure) {
        var rounds: [LoadFigures] = []
        for _ in 0..<options.rounds {
            rounds.append(
                try self.round(options.plan, options.mix(seed: ProcessLimits.randomWord()), target, signals))
        }
        let end = try? BenchTarget([target.path])
        let report = BenchReport(
            load: options.load(workers: target.processes.workers.count), rounds: rounds,
            cacheShare: end?.cacheShare(since: target))
        if options.printsJSON {
            Terminal.print(report.json.text)
        } else {
            Terminal.print(
                "\(target.text), \(Machine.processors) processors\n\(options.text)\n\n"
                    + BenchReportText.text(report, comparedWith: saved))
        }
        if let path = options.savePath { try self.save(report, path) }
        guard report.failedRounds == 0 else { throw CommandFailure(exitCode: 1, message: "") }
    }

    /// - Throws: exit code 1 when a signal says that it is enough, or no connection can be made.
    static func round(
        _ plan: LoadPlan, _ mix: CallMix, _ target: BenchTarget, _ signals: borrowing SignalQueue
    ) throws(CommandFailure) -> LoadFigures {
        let figures: LoadFigures?
        do throws(SystemError) {
            let generator = try LoadGenerator(
                path: target.path, plan: plan, mix: mix, processes: target.processes)
            figures = try generator.perform(unlessInterrupted: signals)
        } catch {
            throw .failed("\(target.path): \(error)")
        }
        guard let figures else { throw .failed("interrupted") }
        return figures
    }

    // MARK: The suite

    private static func runSuite(
        _ options: BenchOptions, _ target: BenchTarget, isAlone: Bool, _ signals: borrowing SignalQueue
    ) throws(CommandFailure) {
        var suite = AcceptanceSuite(
            queryParams: options.params.isEmpty ? AcceptanceSuite.standardQuery : options.params,
            isAlone: isAlone)
        try suite.run(on: target, signals)
        Terminal.print(options.printsJSON ? suite.json.text : "\(target.text)\n\n\(suite.text)")
        guard !suite.hasFailed else { throw CommandFailure(exitCode: 1, message: "") }
    }

    // MARK: Files

    static func readSaved(_ path: String) throws(CommandFailure) -> SavedBench {
        let bytes: [UInt8]
        do {
            bytes = try self.contents(of: FileDescriptor(opening: path, O_RDONLY))
        } catch {
            throw .usage("--compare: \(error)")
        }
        do throws(JSONError) {
            return try SavedBench(bytes)
        } catch {
            throw .usage("--compare: \(path) is no run that --save has written: \(error)")
        }
    }

    private static func contents(of file: borrowing FileDescriptor) throws -> [UInt8] {
        let status = try file.status()
        guard status.isRegular, status.size <= 1 << 26 else { throw SystemError("read", EINVAL) }
        var bytes = [UInt8](repeating: 0, count: Int(status.size))
        let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
        return Array(bytes.prefix(count))
    }

    /// Before the work is done rather than after it.
    private static func checkWritable(_ path: String) throws(CommandFailure) {
        let isThere = FileStatus(ofPath: path) != nil
        guard access(isThere ? path : FilePath.directory(of: path), W_OK) != 0 else { return }
        throw .usage("--save: \(SystemError("cannot write \(path)"))")
    }

    private static func save(_ report: BenchReport, _ path: String) throws(CommandFailure) {
        do {
            let file = try FileDescriptor(opening: path, O_WRONLY | O_CREAT | O_TRUNC, mode: 0o644)
            try (report.json.bytes + [0x0A]).withUnsafeBytes { try file.writeAll($0) }
        } catch {
            throw .failed("--save: \(path): \(error)")
        }
    }
}
