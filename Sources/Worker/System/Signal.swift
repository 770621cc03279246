import Glibc

/// One thread tells another; what is told while nobody waits is kept for the next who does.
final class Signal: @unchecked Sendable {
    // @unchecked: `count` is touched only between lock and unlock; the pointers never change.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var count = 0

    init() {
        pthread_mutex_init(self.mutex, nil)
        // Timed waits end on the clock that never jumps: a semaphore's go by the time of day.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(self.condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    func raise() {
        pthread_mutex_lock(self.mutex)
        self.count += 1
        pthread_cond_signal(self.condition)
        pthread_mutex_unlock(self.mutex)
    }

    func wait() {
        pthread_mutex_lock(self.mutex)
        while self.count == 0 { pthread_cond_wait(self.condition, self.mutex) }
        self.count -= 1
        pthread_mutex_unlock(self.mutex)
    }

    /// - Returns: false when nobody told anything in that time.
    @discardableResult
    func wait(milliseconds: Int64) -> Bool {
        let end = MonotonicClock.now.adding(milliseconds: milliseconds).nanoseconds
        var until = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        while self.count == 0 {
            guard pthread_cond_timedwait(self.condition, self.mutex, &until) != ETIMEDOUT else { break }
        }
        guard self.count > 0 else { return false }
        self.count -= 1
        return true
    }
}
