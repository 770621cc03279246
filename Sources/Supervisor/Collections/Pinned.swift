import Synchronization

/// Makes the struct that holds it one that is handed on by its address.
///
/// A struct of plain members is "loadable": to call a method of it that changes nothing, the compiler may load it whole
/// and, where it is large, copies it to the stack for the callee. For the core that were 2 KiB for each small question
/// it asks itself, a seventh of all its time (measured with perf: memcpy). An atomic has an address of its own, so what
/// contains one is never loaded.
struct Pinned: ~Copyable {
    private let anchor = Atomic<Bool>(false)
}
