import Glibc

/// The program `worker`: answers questions over an index of documents, by default on standard input and
/// output.
@main
enum WorkerCommand {
    nonisolated static func main() {
        signal(SIGPIPE, SIG_IGN)
        exit(self.run(Array(CommandLine.arguments.dropFirst())))
    }

    private static let commands: [(name: String, run: @Sendable ([String]) throws -> Int32)] = [
        ("index", IndexCommand.run), ("eval", EvaluateCommand.run),
    ]

    /// - Returns: the exit code.
    static func run(_ arguments: [String]) -> Int32 {
        do {
            for command in self.commands where command.name == arguments.first {
                return try command.run(Array(arguments.dropFirst()))
            }
            throw UsageError("no command")
        } catch let error as UsageError {
            Console.message("\(error)\nTry: worker help")
            return ExitCode.usage
        } catch {
            Console.message("\(error)")
            return ExitCode.failed
        }
    }
}
