import CLinux
import Glibc
import Protocol
import Testing

@testable import Supervisor

@Suite struct MessageBufferTests {
    /// What the buffer hands out, as it is sent by somebody who takes so many bytes at once.
    private static func send(_ buffer: inout MessageBuffer, atMost count: Int) -> [UInt8] {
        let sent = buffer.withUnsent { pieces in
            Array(
                pieces.map { UnsafeRawBufferPointer(start: $0.iov_base, count: $0.iov_len) }.joined().prefix(
                    count))
        }
        buffer.drop(sent.count)
        return sent
    }

    @Test func sendsInOrderWhatIsCopiedAndWhatIsKept() {
        var buffer = MessageBuffer()
        var random = SeededGenerator(seed: 1)
        var (all, sent): ([UInt8], [UInt8]) = ([], [])
        for step in 0..<2000 {
            let bytes = (0..<Int.random(in: 0..<900, using: &random)).map {
                UInt8(truncatingIfNeeded: step + $0)
            }
            if step % 3 == 0, bytes.count > 10 {
                let part = 5..<bytes.count - 5
                buffer.append(large: bytes, part)
                all += bytes[part]
            } else {
                buffer.append(atMost: bytes.count + 7) { writer in bytes.withUnsafeBytes { writer.append($0) }
                }
                all += bytes
            }
            sent += Self.send(&buffer, atMost: Int.random(in: 0..<1000, using: &random))
            #expect(buffer.count == all.count - sent.count)
        }
        while !buffer.isEmpty { sent += Self.send(&buffer, atMost: 777) }
        #expect(sent == all)
        #expect(buffer.sentInAll == all.count)
    }

    @Test(arguments: [(9, false), (10, true)]) func keepsAnArrayUntilItIsSent(sent: Int, isGivenUp: Bool) {
        var buffer = MessageBuffer()
        var array = [UInt8](repeating: 7, count: 10)
        buffer.append(large: array, 0..<10)
        _ = Self.send(&buffer, atMost: sent)
        let isAlone = array.isAlone()
        #expect(isAlone == isGivenUp)
    }

    @Test func givesUpWhatIsNotToBeSent() {
        var buffer = MessageBuffer()
        var array = [UInt8](repeating: 7, count: 10)
        buffer.append(large: array, 0..<10)
        buffer.removeAll()
        let isAlone = array.isAlone()
        #expect(isAlone && buffer.isEmpty)
    }

    @Test func sendsWhatAnArrayWasNotWhatItBecomes() {
        var buffer = MessageBuffer()
        var array = Array("before".utf8)
        buffer.append(large: array, 0..<6)
        array.replaceSubrange(0..<6, with: "behind".utf8)
        #expect(Self.send(&buffer, atMost: .max) == Array("before".utf8))
    }
}

@Suite struct LargePayloadTests {
    private static let size = MessageBuffer.largeBytes

    private func payload(_ array: [UInt8], _ part: Range<Int>, in delivered: [UInt8]) -> Range<Int>? {
        array.withUnsafeBytes { bytes in
            let message = WholeMessage(UnsafeRawBufferPointer(rebasing: bytes[part]))
            return LargePayload(of: message, in: delivered)?.part
        }
    }

    @Test func isTheKnownPartOfAnArray() {
        let array = [UInt8](repeating: 1, count: 3 * Self.size)
        #expect(self.payload(array, 5..<5 + Self.size, in: array) == 5..<5 + Self.size)
        #expect(self.payload(array, 0..<array.count, in: array) == 0..<array.count)
    }

    @Test func isNoneOfAnotherArrayOrASmallMessage() {
        let array = [UInt8](repeating: 1, count: 2 * Self.size)
        #expect(self.payload(array, 5..<5 + Self.size, in: []) == nil)
        #expect(
            self.payload(array, 5..<5 + Self.size, in: [UInt8](repeating: 1, count: 2 * Self.size)) == nil)
        #expect(self.payload(array, 5..<4 + Self.size, in: array) == nil)
    }

    /// What is kept is sent as it is: a line break in it would be the end of a line.
    @Test(arguments: [0x0A, 0x0D] as [UInt8]) func isNoneWithALineBreak(lineBreak: UInt8) {
        var array = [UInt8](repeating: 1, count: 2 * Self.size)
        array[Self.size] = lineBreak
        #expect(self.payload(array, 1..<array.count, in: array) == nil)
        #expect(self.payload(array, 0..<Self.size, in: array) == 0..<Self.size)
    }
}

extension [UInt8] {
    /// Whether nobody else has this array: then a change of it is made in its place.
    fileprivate mutating func isAlone() -> Bool {
        let before = self.withUnsafeBytes { $0.baseAddress }
        self[0] = 8
        return self.withUnsafeBytes { $0.baseAddress } == before
    }
}
