import CLinux
import Glibc

/// Limits and facts of this process.
enum ProcessLimits {
    typealias Kind = Configuration.ResourceLimit.Kind

    /// A limit as this process was started with it; `UInt64.max`: none.
    struct Original: Equatable {
        var kind: Kind
        var soft: UInt64
        var hard: UInt64
    }

    /// Raises a soft limit to the hard one.
    ///
    /// - Returns: the limit as it was, for the workers, and the soft limit as it is now.
    static func raise(_ kind: Kind) -> (original: Original, now: UInt64) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(UInt32(kind.number)), &limit)
        let original = Original(kind: kind, soft: UInt64(limit.rlim_cur), hard: UInt64(limit.rlim_max))
        limit.rlim_cur = limit.rlim_max
        guard setrlimit(__rlimit_resource_t(UInt32(kind.number)), &limit) == 0 else {
            return (original, original.soft)
        }
        return (original, UInt64(limit.rlim_cur))
    }

    /// Whether RLIMIT_NPROC means nothing to this process.
    ///
    /// The kernel (`copy_process` in kernel/fork.c) lets the user root, CAP_SYS_RESOURCE and CAP_SYS_ADMIN pass, but
    /// only those of the first user namespace: root in a rootless container is bound by the limit.
    static var isExemptFromProcessLimit: Bool {
        guard let namespace = self.link("/proc/self/ns/user") else { return true }  // it cannot be known
        guard namespace == self.firstUserNamespace else { return false }
        return getuid() == 0 || ProcessTable.effectiveCapabilities & self.exemptingCapabilities != 0
    }

    /// PROC_USER_INIT_INO of include/linux/proc_ns.h.
    private static let firstUserNamespace = "user:[4026531837]"
    /// CAP_SYS_ADMIN and CAP_SYS_RESOURCE.
    private static let exemptingCapabilities: UInt64 = 1 << 21 | 1 << 24

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
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

extension Configuration.ResourceLimit.Kind {
    /// The number of the limit in system calls.
    var number: Int32 {
        switch self {
        case .addressSpace: Int32(RLIMIT_AS.rawValue)
        case .core: Int32(RLIMIT_CORE.rawValue)
        case .cpu: Int32(RLIMIT_CPU.rawValue)
        case .data: Int32(RLIMIT_DATA.rawValue)
        case .fsize: Int32(RLIMIT_FSIZE.rawValue)
        case .nofile: Int32(RLIMIT_NOFILE.rawValue)
        case .nproc: Int32(__RLIMIT_NPROC.rawValue)
        case .stack: Int32(RLIMIT_STACK.rawValue)
        }
    }
}
