@testable import Worker

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
    let isStarted = DetachedThread.start(body)
    precondition(isStarted, "the system gives no more threads")
}
