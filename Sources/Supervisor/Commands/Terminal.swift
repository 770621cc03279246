import Glibc

/// What commands print: results to stdout, everything else to stderr.
enum Terminal {
    static func print(_ text: String) {
        self.write(Array((text.hasSuffix("\n") ? text : text + "\n").utf8), to: 1)
    }

    static func printError(_ text: String) { self.write(Array("supervisor: \(text)\n".utf8), to: 2) }

    static func write(_ bytes: [UInt8], to descriptor: Int32) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                retryingInterrupts {
                    Glibc.write(descriptor, all.baseAddress?.advanced(by: written), all.count - written)
                }
            }
            // Nobody reads any more (`supervisor status | head -1`), or the disk is full: nothing is left to do.
            guard count > 0 else { return }
            written += count
        }
    }
}
