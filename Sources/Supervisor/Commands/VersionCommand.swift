import Protocol

/// `supervisor version`
enum VersionCommand {
    static func run() { Terminal.print("supervisor \(ProductVersion.text)") }
}
