import Testing

@testable import Supervisor

@Suite struct OptionParserTests {
    @Test func readsValuesInBothForms() throws {
        for arguments in [["--socket", "/a", "--workers=4"], ["--workers", "4", "--socket=/a"]] {
            let parsed = try CommandSyntax.serve.parse(arguments)
            #expect(parsed.value("socket") == "/a")
            #expect(parsed.value("workers") == "4")
            #expect(parsed.value("config") == nil)
            #expect(parsed.trailing == nil)
        }
    }

    @Test func keepsEverythingBehindTheFirstEqualsSign() throws {
        let parsed = try CommandSyntax.call.parse(["m", "--metadata={\"a\":\"=\"}"])
        #expect(parsed.value("metadata") == "{\"a\":\"=\"}")
    }

    @Test func readsFlagsAndPositionalsInAnyOrder() throws {
        for arguments in [["m", "--raw", "{}"], ["--raw", "m", "{}"], ["m", "{}", "--raw"]] {
            let parsed = try CommandSyntax.call.parse(arguments)
            #expect(parsed.positionals == ["m", "{}"])
            #expect(parsed.flag("raw"))
            #expect(!parsed.flag("help"))
        }
    }

    @Test func takesWhatFollowsTwoDashesAsItIs() throws {
        let parsed = try CommandSyntax.serve.parse([
            "--workers", "2", "--", "python3", "-u", "--", "--socket",
        ])
        #expect(parsed.trailing == ["python3", "-u", "--", "--socket"])
        #expect(parsed.value("socket") == nil)
        #expect(try CommandSyntax.call.parse(["--", "m", "-5"]).positionals == ["m", "-5"])
    }

    @Test func takesASingleDashAndANegativeNumberAsAValue() throws {
        #expect(try CommandSyntax.call.parse(["m", "-"]).positionals == ["m", "-"])
        #expect(try CommandSyntax.serve.parse(["--workers", "-1"]).value("workers") == "-1")
    }

    @Test(arguments: [
        (["--sockt", "/a"], "unknown option --sockt; did you mean --socket? (see `supervisor help serve`)"),
        (["--qqqq"], "unknown option --qqqq (see `supervisor help serve`)"),
        (["-x"], "unknown option -x (see `supervisor help serve`)"),
        (["-socket", "/a"], "unknown option -socket; did you mean --socket? (see `supervisor help serve`)"),
        (["--socket"], "--socket needs a value: PATH (see `supervisor help serve`)"),
        (["--socket="], "--socket needs a value: PATH (see `supervisor help serve`)"),
        (["--socket", ""], "--socket needs a value: PATH (see `supervisor help serve`)"),
        (["--socket", "--workers", "2"], "--socket needs a value: PATH (see `supervisor help serve`)"),
        (["--socket", "/a", "--socket", "/b"], "--socket is given twice (see `supervisor help serve`)"),
        (["--help=yes"], "--help takes no value (see `supervisor help serve`)"),
        (
            ["python3"],
            "unexpected argument python3; COMMAND [ARG…] goes behind -- (see `supervisor help serve`)"
        ),
        (["--"], "expected COMMAND [ARG…] behind -- (see `supervisor help serve`)"),
        (["--", ""], "expected COMMAND [ARG…] behind -- (see `supervisor help serve`)"),
    ])
    func refusesWithOneSentence(arguments: [String], message: String) {
        #expect(throws: UsageError.self) { try CommandSyntax.serve.parse(arguments) }
        do {
            _ = try CommandSyntax.serve.parse(arguments)
        } catch {
            #expect(error.message == message)
        }
    }

    @Test func countsPositionals() {
        self.expectRefusal(of: ["call"], "expected METHOD (see `supervisor help call`)")
        self.expectRefusal(of: ["call", "a", "b", "c"], "unexpected argument c (see `supervisor help call`)")
        self.expectRefusal(
            of: ["status", "x\u{1B}"], #"unexpected argument x\x1b (see `supervisor help status`)"#)
    }

    @Test func findsTheCommand() throws {
        let invocation = try Invocation.parse(["call", "ping", "--timeout", "5s"])
        #expect(invocation.command.name == "call")
        #expect(invocation.arguments.value("timeout") == "5s")
        #expect(try Invocation.parse(["--version"]).command.name == "version")
        #expect(try Invocation.parse(["-h"]).command.name == "help")
        #expect(try Invocation.parse(["help", "serve"]).arguments.positionals == ["serve"])
    }

    @Test func namesTheNearestCommand() {
        self.expectRefusal(of: [], "expected a command (see `supervisor help`)")
        self.expectRefusal(
            of: ["stauts"], "unknown command stauts; did you mean status? (see `supervisor help`)")
        self.expectRefusal(of: ["frobnicate"], "unknown command frobnicate (see `supervisor help`)")
    }

    @Test func asksForNothingElseWhenHelpIsAskedFor() throws {
        #expect(try CommandSyntax.call.parse(["--help"]).flag("help"))
        #expect(try CommandSyntax.call.parse(["-h"]).flag("help"))
    }

    @Test func explainsEveryOptionOfEveryCommand() {
        for command in CommandSyntax.all {
            let text = command.helpText
            #expect(text.hasPrefix("Usage: supervisor \(command.name)"))
            for option in command.options { #expect(text.contains("--\(option.name)"), "\(command.name)") }
            #expect(CommandSyntax.overview.contains("  \(command.name)"))
            #expect(Set(command.options.map(\.name)).count == command.options.count)
            for line in text.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
        }
        #expect(CommandSyntax.call.usage == "supervisor call METHOD [PARAMS] [OPTION…]")
        #expect(CommandSyntax.serve.usage == "supervisor serve [OPTION…] [-- COMMAND [ARG…]]")
    }

    private func expectRefusal(of arguments: [String], _ message: String) {
        do {
            _ = try Invocation.parse(arguments)
            Issue.record("accepted \(arguments)")
        } catch {
            #expect(error.message == message)
        }
    }
}
