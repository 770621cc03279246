import Glibc

/// A value that one thread at a time can reach.
///
/// A pthread mutex rather than Synchronization's `Mutex`, whose futex the thread sanitizer does not see: it
/// reports a race for every value behind one (Swift 6.3), and a sanitizer that always complains is no use.
final class Locked<Value>: @unchecked Sendable {
    // @unchecked: `value` is touched only between lock and unlock; the pointer never changes.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    init(_ value: Value) {
        self.value = value
        let code = pthread_mutex_init(self.mutex, nil)
        precondition(code == 0, "pthread_mutex_init: \(code)")
    }

    deinit {
        pthread_mutex_destroy(self.mutex)
        self.mutex.deallocate()
    }

    /// Must not be called from within itself.
    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return body(&self.value)
    }
}
