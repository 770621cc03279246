/// `supervisor help [COMMAND]`
enum HelpCommand {
    static func run(_ arguments: ParsedArguments) throws(UsageError) {
        guard let name = arguments.positionals.first else { return Terminal.print(CommandSyntax.overview) }
        Terminal.print(try CommandSyntax.named(name).helpText)
    }
}
