import Glibc

/// Memory straight from the system, and straight back to it.
///
/// The core's caches live in it. It is no effect, no more than what an array allocates is: nothing is decided by it.
///
/// What is freed to malloc it may keep: it gives the end of its heap back only beyond a threshold that grows to twice
/// the largest block ever freed, and never a hole in it.
enum Pages {
    /// Whole pages, which are resident only once they are touched, and zero.
    static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let base, base != MAP_FAILED else { preconditionFailure("out of memory: mmap: errno \(errno)") }
        return base
    }

    /// - Parameter bytes: as many as were allocated.
    static func release(_ base: UnsafeMutableRawPointer, _ bytes: Int) {
        precondition(munmap(base, bytes) == 0, "munmap: errno \(errno)")
    }
}
