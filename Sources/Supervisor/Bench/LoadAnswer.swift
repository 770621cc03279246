import Glibc
import Protocol

/// What a line from the server is to a load.
enum LoadAnswer: Equatable {
    case result(UInt64)
    /// The error object's range.
    case error(UInt64, Range<Int>)
    /// A part of an answer, or what else is no response.
    case other

    /// How the supervisor begins its answers.
    private static let head: StaticString = "{\"jsonrpc\":\"2.0\",\"id\":"
    private static let resultName: StaticString = ",\"result\":"

    /// - Complexity: O(1) for a result as the supervisor writes it, whatever its length: the load is to measure the
    ///   server, and not a check of its JSON. O(bytes) for everything else.
    static func scan(_ line: UnsafeRawBufferPointer) -> LoadAnswer {
        let digits = self.head.utf8CodeUnitCount
        let name = digits + CallTemplate.idDigits
        if self.stands(self.head, at: 0, in: line), self.stands(self.resultName, at: name, in: line),
            let id = self.number(line[digits..<name])
        {
            return .result(id)
        }
        switch WorkerMessage.scan(line, limits: self.limits) {
        case .result(let id, _): return .result(id)
        case .error(let id, let range): return .error(id, range)
        default: return .other
        }
    }

    private static let limits = MessageLimits()

    private static func stands(
        _ text: StaticString, at offset: Int, in line: UnsafeRawBufferPointer
    ) -> Bool {
        guard let base = line.baseAddress, offset + text.utf8CodeUnitCount <= line.count else { return false }
        return memcmp(base + offset, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    private static func number(_ digits: Slice<UnsafeRawBufferPointer>) -> UInt64? {
        var number: UInt64 = 0
        for byte in digits {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            number = number * 10 + UInt64(digit)
        }
        return number
    }
}
