import Glibc
import Protocol

/// `worker serve`, the default: answers requests on standard input.
enum ServeCommand {
    static let help = """
        worker [serve] [--config FILE] [--worker-id ID] [--index DIR]

        Answers JSON-RPC 2.0 requests, one a line, on standard input and output until the input ends; logs go to
        standard error. A first word `default` or `worker_…` is taken as the id.

          --config FILE       JSON5; no file is read without it
          --worker-id ID      what the worker calls itself ($WORKER_ID)
          --index DIR         the index to answer from ($WORKER_INDEX, then index.directory of the configuration)
        """

    private static let options: [CommandArguments.Option] = [
        .value("--config", "FILE"), .value("--worker-id", "ID"), .value("--index", "DIR"),
    ]

    static func run(_ arguments: [String]) throws -> Int32 {
        let arguments = try CommandArguments(arguments, options: self.options)
        if arguments.asksForHelp {
            Console.result(self.help)
            return ExitCode.done
        }
        let workerID = arguments.words.first { WorkerIdentifier.isFirstWord($0) }
        if let word = arguments.words.first(where: { $0 != workerID }) ?? arguments.words.dropFirst().first {
            throw UsageError("unexpected argument \(Excerpt.escaped(word))")
        }
        let settings = try ServeSettings(arguments, workerID: workerID, environment: ProcessEnvironment())
        let descriptors = try StandardDescriptors()
        let output = OutputBuffer(descriptor: descriptors.output) {
            // Nobody is left to answer: no failure of ours.
            exit(ExitCode.done)
        }
        let isSupervised = SupervisorCalls.isPossible(
            input: descriptors.input, output: descriptors.output, environment: ProcessEnvironment())
        let questions = isSupervised ? SupervisorCalls(output: output) : nil
        let server = self.makeServer(settings, output: output, questions)
        server.run(input: descriptors.input)
        return ExitCode.done
    }

    private static func makeServer(
        _ settings: ServeSettings, output: OutputBuffer, _ questions: SupervisorCalls?
    ) -> StdioServer {
        let embedding = WorkerEmbedding(settings.embedding, calls: questions)
        let capabilities = WorkerCapabilities(
            maxConcurrency: settings.maxConcurrency, endpointModel: embedding.endpointModel)
        let directory = settings.indexDirectory.map { IndexDirectory(path: $0) }
        let holder = IndexHolder(directory: directory) { index in
            output.write(line: capabilities.notification(index))
        }
        if let directory { IndexWatch.start(directory) { holder.current(isDue: true) } }
        let service = WorkerService(
            workerID: settings.workerID, capabilities: capabilities, holder: holder, embedding: embedding)
        guard embedding.isRemote else {
            return StdioServer(service: service, output: output, waitingLimit: settings.waitingLimit)
        }
        // Whoever waits for an endpoint must not hold one of the few threads that tasks run on.
        return StdioServer(
            service: service, output: output, waitingLimit: settings.waitingLimit, questions: questions,
            startTask: { body in
                if !DetachedThread.start(body) { Task { body() } }
            })
    }
}
