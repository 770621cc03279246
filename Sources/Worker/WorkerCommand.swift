import Glibc
import Protocol

/// The program `worker`: answers questions over an index of documents, by default on standard input and
/// output.
@main
enum WorkerCommand {
    nonisolated static func main() {
        signal(SIGPIPE, SIG_IGN)
        exit(self.run(Array(CommandLine.arguments.dropFirst())))
    }

    static let help = """
        worker answers questions over your documents: a JSON-RPC 2.0 worker for `supervisor`, or a plain filter.

          worker [serve]                  answer requests on standard input (see `worker serve --help`)
          worker index --out DIR PATH…    make or refresh an index of files
          worker query TECHNIQUE QUERY    answer one question
          worker eval DIR                 measure the techniques on a test collection
          worker version                  print the version
          worker help                     print this

        Try it: echo '{"jsonrpc":"2.0","id":1,"method":"health.check"}' | worker

        Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
        """

    private enum Command: String, CaseIterable {
        case serve, index, query, eval, version, help
    }

    /// - Returns: the exit code.
    static func run(_ arguments: [String]) -> Int32 {
        do {
            return try self.dispatch(arguments)
        } catch let error as UsageError {
            Console.message("\(error)")
            Console.message("try `worker help`")
            return ExitCode.usage
        } catch {
            Console.message("\(error)")
            return ExitCode.failed
        }
    }

    private static func dispatch(_ arguments: [String]) throws -> Int32 {
        guard let first = arguments.first else { return try ServeCommand.run([]) }
        let rest = Array(arguments.dropFirst())
        switch first {
        case "--help", "-h": return self.showHelp(rest)
        case "--version": return self.showVersion()
        case _ where first.hasPrefix("-") || WorkerIdentifier.isFirstWord(first):
            return try ServeCommand.run(arguments)
        default: return try self.run(command: first, rest)
        }
    }

    private static func run(command first: String, _ rest: [String]) throws -> Int32 {
        guard let command = Command(rawValue: first) else {
            let known = Command.allCases.map(\.rawValue) + [WorkerIdentifier.fallback]
            let hint = NearestName.find(first, in: known).map { "; did you mean `\($0)`?" }
            throw UsageError("unknown command \(Excerpt.escaped(first))" + (hint ?? ""))
        }
        switch command {
        case .serve: return try ServeCommand.run(rest)
        case .index: return try IndexCommand.run(rest)
        case .query: return try QueryCommand.run(rest)
        case .eval: return try EvaluateCommand.run(rest)
        case .version: return self.showVersion()
        case .help: return self.showHelp(rest)
        }
    }

    private static func showHelp(_ arguments: [String]) -> Int32 {
        switch arguments.first.flatMap({ Command(rawValue: $0) }) {
        case .serve: Console.result(ServeCommand.help)
        case .index: Console.result(IndexCommand.help)
        case .query: Console.result(QueryCommand.help)
        case .eval: Console.result(EvaluateCommand.help)
        case .version, .help, nil: Console.result(self.help)
        }
        return ExitCode.done
    }

    private static func showVersion() -> Int32 {
        Console.result("worker \(ProductVersion.text)")
        return ExitCode.done
    }
}
