import Glibc

/// The program `supervisor`: reads the command line, runs one command, ends with its exit code.
@main
enum SupervisorCommand {
    // Not on the main actor: callbacks from C and the loop run here without one.
    nonisolated static func main() {
        exit(self.run(Array(CommandLine.arguments.dropFirst())))
    }

    /// - Returns: the exit code (protocol §7).
    static func run(_ arguments: [String]) -> Int32 {
        do {
            let invocation = try Invocation.parse(arguments)
            if invocation.arguments.flag("help") {
                Terminal.print(invocation.command.helpText)
                return 0
            }
            try self.run(invocation)
            return 0
        } catch let failure as CommandFailure {
            if !failure.message.isEmpty { Terminal.printError(failure.message) }
            return failure.exitCode
        } catch {
            Terminal.printError("\(error)")
            return 2
        }
    }

    private static func run(_ invocation: Invocation) throws {
        let arguments = invocation.arguments
        switch invocation.command.name {
        case "serve": try ServeCommand.run(arguments)
        case "status": try StatusCommand.run(arguments)
        case "call": try CallCommand.run(arguments)
        case "stream": try StreamCommand.run(arguments)
        case "restart": try RestartCommand.run(arguments)
        case "drain": try DrainCommand.run(arguments)
        case "scale": try ScaleCommand.run(arguments)
        case "reload": try ReloadCommand.run(arguments)
        case "stop": try StopCommand.run(arguments)
        case "cache": try CacheCommand.run(arguments)
        case "config": try ConfigCommand.run(arguments)
        case "events": try EventsCommand.run(arguments)
        case "bench": try BenchCommand.run(arguments)
        case "reference": ReferenceCommand.run()
        case "check": try CheckCommand.run(arguments)
        case "version": VersionCommand.run()
        case "help": try HelpCommand.run(arguments)
        case let name: preconditionFailure("command \(name) has a syntax and no code")
        }
    }
}
