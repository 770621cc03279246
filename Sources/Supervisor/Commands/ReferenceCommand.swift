/// `supervisor reference`: prints the page that docs/reference.md is a copy of.
enum ReferenceCommand {
    static func run() { Terminal.print(ReferencePage.text) }
}
