import Glibc

/// A system call that failed: which, and with what errno.
struct SystemError: Error, Equatable, CustomStringConvertible {
    var call: String
    var number: Int32

    /// Reads errno at once: nothing may come between the call and this.
    init(_ call: String, _ number: Int32 = errno) {
        self.call = call
        self.number = number
    }

    /// What the system calls the error, such as "No such file or directory".
    var text: String { String(cString: strerror(self.number)) }

    var description: String { "\(self.call): \(self.text)" }
}

/// Repeats a call while a signal interrupts it. The only place that knows EINTR.
@inline(__always)
func retryingInterrupts<Number: SignedInteger>(_ body: () -> Number) -> Number {
    while true {
        let result = body()
        if result >= 0 || errno != EINTR { return result }
    }
}
