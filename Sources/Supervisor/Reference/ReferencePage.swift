import Protocol

/// The reference, as Markdown, out of the tables that the program itself goes by: the catalogue of methods, the codes
/// of errors, the topics of events, the reader of the configuration, the syntax of the commands.
enum ReferencePage {
    static var text: String {
        """
        # Reference

        Printed by `supervisor reference`; the prose is in [the protocol](protocol.md), [errors](errors.md), [configuration](configuration.md) and [operations](operations.md).

        \(self.methods)
        \(self.errors)
        \(self.events)
        \(self.configuration)
        \(self.commands)
        """.trimmingLineBreaks + "\n"
    }

    // MARK: Methods

    private static var methods: String {
        let intro = """
            ## Methods

            Params are an object. Every message may be answered with \(self.codes(MethodDescription.errorsOfAll)), besides the errors named at its method. `rpc.discover` has all this as OpenRPC, with the methods that workers have declared.


            """
        let types = MethodCatalogue.Component.allCases.map { component in
            ["`\(component.rawValue)`", "`\(component.schema.words)`"]
        }
        return intro + MethodCatalogue.all.map(self.section).joined(separator: "\n")
            + "\n### Types\n\nMembers with `?` may be left out.\n\n" + self.table(["type", "is"], types)
    }

    private static func section(_ method: MethodDescription) -> String {
        let operators = method.isForOperators ? "; for operators only" : ""
        var text = """
            ### \(method.name)

            \(method.summary). Answered by \(self.answerer(method)), \(self.pace(method.pace))\(operators).


            """
        if !method.params.isEmpty {
            let rows = method.params.map { param in
                [
                    "`\(param.name)`\(param.isRequired ? "" : "?")", "`\(param.schema.words)`", param.summary,
                ]
            }
            text += self.table(["param", "type", "meaning"], rows) + "\n"
        }
        text += "Result: `\(method.result.words)`.\n"
        let errors = method.allErrors.filter { !MethodDescription.errorsOfAll.contains($0) }
        if !errors.isEmpty { text += "\nErrors: \(self.codes(errors)).\n" }
        return text
    }

    private static func answerer(_ method: MethodDescription) -> String {
        method.answerer == .supervisor ? "the supervisor" : method.answerer.rawValue
    }

    private static func pace(_ pace: MethodDescription.Pace) -> String {
        switch pace {
        case .immediate: "at once"
        case .call: "within the call's deadline"
        case .stream: "in chunks, within the call's deadline"
        case .waiting: "when it is done"
        case .notification: "never: it is a notification"
        }
    }

    // MARK: Errors and events

    private static func codes(_ codes: [ErrorCode]) -> String {
        codes.map { self.number($0.rawValue) }.joined(separator: ", ")
    }

    private static func number(_ code: Int) -> String { code < 0 ? "−\(-code)" : "\(code)" }

    private static var errors: String {
        "## Error codes\n\n"
            + self.table(
                ["code", "name"], ErrorCode.allCases.map { [self.number($0.rawValue), $0.name] })
    }

    private static var events: String {
        let rows = EventTopic.allCases.map { topic in
            ["`\(topic.rawValue)`", topic.summary + (topic.isForOperators ? " (operators only)" : "")]
        }
        return "## Events\n\n" + self.table(["topic", "what has happened"], rows)
    }

    // MARK: Configuration

    private static var configuration: String {
        let rows = ConfigurationKey.all.map { key in
            ["`\(key.path)`", key.standard.isNull ? "none" : "`\(key.standard.text)`", key.expectation]
        }
        return "## Configuration\n\n" + self.table(["key", "default", "what it takes"], rows)
    }

    // MARK: Commands

    private static var commands: String {
        "## Commands\n\n"
            + CommandSyntax.all.map { command in
                """
                ```text
                \(command.helpText.trimmingLineBreaks)
                ```

                """
            }.joined(separator: "\n")
    }

    // MARK: Tables

    static func table(_ head: [String], _ rows: [[String]]) -> String {
        let lines = [head, head.map { _ in "---" }] + rows.map { $0.map(self.escaped) }
        return lines.map { "| \($0.joined(separator: " | ")) |\n" }.joined()
    }

    /// A bar would end the cell.
    private static func escaped(_ cell: String) -> String {
        cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}

extension String {
    fileprivate var trimmingLineBreaks: String {
        var text = self[...]
        while text.hasSuffix("\n") { text = text.dropLast() }
        return String(text)
    }
}
