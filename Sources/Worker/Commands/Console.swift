import Glibc

/// Where commands write: results to standard output, everything else to standard error.
enum Console {
    static func result(_ text: String) { self.write(Array(text.utf8) + [0x0A], to: STDOUT_FILENO) }

    static func message(_ text: String) { self.write(Array("worker: \(text)\n".utf8), to: STDERR_FILENO) }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if count < 0, errno == EINTR { continue }
            // Nobody reads any more: there is nobody to tell, either.
            guard count > 0 else { return }
            written += count
        }
    }
}

/// How a command ends.
enum ExitCode {
    static let done: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 2
}
