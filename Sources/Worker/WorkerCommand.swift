@main
enum WorkerCommand {
    nonisolated static func main() {}
}
