import CLinux
import Glibc

/// Limits and facts of this process.
enum ProcessLimits {
    /// Raises the soft limit on open files to the hard one.
    ///
    /// - Returns: the limit as it was, for the workers, and as it is now.
    static func raiseFileLimit() -> (original: (soft: UInt64, hard: UInt64), now: UInt64) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let original = (soft: UInt64(limit.rlim_cur), hard: UInt64(limit.rlim_max))
        limit.rlim_cur = limit.rlim_max
        guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            return (original, original.soft)
        }
        return (original, UInt64(limit.rlim_cur))
    }

    /// 128 random bits in hexadecimal, from the kernel.
    static func randomCookie() -> String {
        let words = (Self.randomWord(), Self.randomWord())
        return String(words.0, radix: 16) + String(words.1, radix: 16)
    }

    static func randomWord() -> UInt64 {
        var word: UInt64 = 0
        while getrandom(&word, 8, 0) != 8 {}
        return word
    }
}
