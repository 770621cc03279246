@main
enum SupervisorCommand {
    nonisolated static func main() {}
}
