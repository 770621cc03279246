import Glibc

/// Runs blocking work on a thread of its own and waits for it without blocking the test's.
///
/// Tests run on the pool that has one thread a processor, where others may block: what is to run for sure needs
/// threads that nobody else has.
func onOwnThread<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    await withCheckedContinuation { continuation in
        startOwnThread { continuation.resume(returning: body()) }
    }
}

/// Runs work on a thread of its own and does not wait for it.
func startOwnThread(_ body: @escaping @Sendable () -> Void) {
    var thread = pthread_t()
    let code = pthread_create(
        &thread, nil,
        { context in
            guard let context else { return nil }
            Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run()
            return nil
        }, Unmanaged.passRetained(Work(body)).toOpaque())
    precondition(code == 0, "pthread_create: \(code)")
    pthread_detach(thread)
}

private final class Work: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
