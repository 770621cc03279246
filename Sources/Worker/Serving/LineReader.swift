import Glibc
import Protocol

/// Reads messages, one a line, from a descriptor.
struct LineReader {
    enum Line {
        case whole(UnsafeRawBufferPointer)
        /// Over the limit; its beginning.
        case oversize(prefix: UnsafeRawBufferPointer)
    }

    private static let readBytes = 64 << 10

    let limits: MessageLimits
    /// Called before each read; returns when it may be done.
    var pause: () -> Void = {}

    /// Reads to the end of the input.
    func run(input: Int32, _ body: (Line) -> Void) {
        var decoder = FrameDecoder(framing: .lines, limits: self.limits)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.readBytes, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            self.pause()
            let count = read(input, buffer.baseAddress, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN {
                var wait = pollfd(fd: input, events: Int16(POLLIN), revents: 0)
                poll(&wait, 1, -1)
                continue
            }
            guard count > 0 else { break }
            let bytes = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            var offset = 0
            while let frame = decoder.next(in: bytes, from: &offset) {
                self.take(frame, decoder, bytes, body)
            }
        }
        if let frame = decoder.finish() {
            self.take(frame, decoder, UnsafeRawBufferPointer(rebasing: buffer[..<0]), body)
        }
    }

    private func take(
        _ frame: FrameDecoder.Frame, _ decoder: FrameDecoder, _ bytes: UnsafeRawBufferPointer,
        _ body: (Line) -> Void
    ) {
        switch frame {
        case .input(let range): body(.whole(UnsafeRawBufferPointer(rebasing: bytes[range])))
        case .assembled: decoder.withAssembled { body(.whole($0)) }
        case .oversize: decoder.withAssembled { body(.oversize(prefix: $0)) }
        case .unreadable(let fault):
            preconditionFailure("lines have no header to be unreadable: \(fault)")
        }
    }
}
