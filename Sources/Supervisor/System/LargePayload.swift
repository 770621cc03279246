import Glibc
import Protocol

/// The payload of a message as a part of the array that it lies in.
struct LargePayload {
    let array: [UInt8]
    let part: Range<Int>

    /// nil where it is to be copied: it is small, nobody knows its array, or it has line breaks to be replaced.
    ///
    /// - Parameter delivered: the message that is passed on, or an empty array.
    @inline(__always)
    init?(of message: some OutgoingMessage, in delivered: [UInt8]) {
        guard message.payload.count >= MessageBuffer.largeBytes else { return nil }
        self.init(large: message.payload, in: message.owner ?? delivered)
    }

    private init?(large payload: UnsafeRawBufferPointer, in array: [UInt8]) {
        guard let base = payload.baseAddress, !payload.hasLineBreak else { return nil }
        let part = array.withUnsafeBytes { bytes -> Range<Int>? in
            guard let start = bytes.baseAddress, base >= start, base + payload.count <= start + bytes.count
            else { return nil }
            return base - start..<base - start + payload.count
        }
        guard let part else { return nil }
        self.array = array
        self.part = part
    }
}

extension UnsafeRawBufferPointer {
    fileprivate var hasLineBreak: Bool {
        guard let base = self.baseAddress else { return false }
        return memchr(base, 0x0A, self.count) != nil || memchr(base, 0x0D, self.count) != nil
    }
}

extension MessageBuffer {
    /// Appends a message and its line end.
    ///
    /// - Parameter payload: what is kept in place of a copy; nil: the message is copied.
    @inline(__always)
    mutating func append(line message: some OutgoingMessage, keeping payload: LargePayload?) {
        if let payload {
            self.append(message, keeping: payload)
            self.append(atMost: 1) { $0.append("\n") }
        } else {
            self.append(atMost: message.mostBytes + 1) {
                message.write(to: &$0)
                $0.append("\n")
            }
        }
    }

    /// Appends a message whose payload is kept where it is.
    mutating func append(_ message: some OutgoingMessage, keeping payload: LargePayload) {
        self.append(atMost: message.frameBytes) { message.writeHead(to: &$0) }
        self.append(large: payload.array, payload.part)
        self.append(atMost: message.frameBytes) { message.writeTail(to: &$0) }
    }
}
