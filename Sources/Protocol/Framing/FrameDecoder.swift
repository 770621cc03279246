import Glibc

/// Cuts a stream of bytes into messages.
///
/// Two framings, told apart by the connection's first byte:
///
///     {"jsonrpc":"2.0","id":1,"method":"ping"}\n          lines: one message each, `\n` or `\r\n` ends it
///     Content-Length: 40\r\n\r\n{"jsonrpc":"2.0",…}       the LSP base protocol, when the first byte is `C`
///
/// The decoder is pulled: the caller reads into a buffer of its own and asks for frame after frame. A frame
/// that lies whole in that buffer is returned as a range of it and never copied; only what a read cut off is
/// kept here, and handed out as `assembled` when the rest has come.
///
///     var offset = 0
///     while let frame = decoder.next(in: buffer, from: &offset) { … }   // nil: all of the buffer was taken
///
/// A message over the limit is reported once, as soon as that is known and enough of it is there to find its id
/// in, and skipped to its end (a line) or by its length (a body), without being stored; what follows it is
/// decoded as if nothing had happened.
public struct FrameDecoder: Sendable {
    /// What the next bytes of the stream are.
    public enum Frame: Equatable, Sendable {
        /// A message, in the buffer that was passed in.
        case input(Range<Int>)
        /// A message put together from several reads, in `assembled`, until the next call of `next`.
        case assembled
        /// A message over the limit. `assembled` holds its first bytes (at most 4 KiB), until the next call
        /// of `next`; the rest will be skipped.
        case oversize
        /// A header that cannot be read, or a body cut off by the end of the stream. Where the next message
        /// begins is unknown from here on: the connection cannot be used any more.
        case unreadable(HeaderFault)
    }

    /// Why a header cannot be read.
    public enum HeaderFault: String, Sendable {
        case lineTooLong = "a header line is longer than the limit"
        case notAHeader = "expected 'Name: value'"
        case badLength = "expected Content-Length to be a decimal number"
        case conflictingLengths = "Content-Length stands twice"
        case missingLength = "expected a Content-Length header"
        case truncated = "the input ended inside a message"
    }

    /// How the stream is cut.
    public enum Framing: Sendable, Equatable {
        case lines
        case contentLength
    }

    private enum State: Equatable, Sendable {
        /// Collecting a line or a body; for a body, `remaining` bytes are still to come.
        case message(remaining: Int)
        /// Collecting header lines; the length, once one of them named it.
        case header(length: Int?)
        /// Skipping the rest of a message over the limit.
        case skipping(remaining: Int)
        /// After an unreadable header: nothing more is decoded.
        case failed
    }

    /// How many bytes of a message over the limit are kept, to find its id.
    public static let prefixBytes = 4 * 1024
    /// A buffer that grew beyond this is given back after its message.
    private static let keptCapacity = 64 * 1024

    /// nil until the first byte has told.
    public private(set) var framing: Framing?
    private var state = State.message(remaining: 0)
    /// The unfinished message, or the finished one that was just handed out.
    private var carry: [UInt8] = []
    private var carryIsDelivered = false
    private let messageBytes: Int
    private let headerLineBytes: Int

    /// - Parameter framing: fixed in advance (a worker's stdio is always lines), or nil to look at the first
    ///   byte.
    public init(framing: Framing?, limits: MessageLimits = MessageLimits()) {
        self.framing = framing
        self.messageBytes = limits.messageBytes
        self.headerLineBytes = limits.headerLineBytes
        if framing == .contentLength { self.state = .header(length: nil) }
    }

    /// Bytes held for a message that has not come whole yet.
    public var heldBytes: Int { self.carryIsDelivered ? 0 : self.carry.count }

    /// Whether the stream is inside a message: its end now would cut that off.
    public var isInsideMessage: Bool {
        switch self.state {
        case .message(let remaining): self.heldBytes > 0 || remaining > 0
        case .header(let length): self.heldBytes > 0 || length != nil
        case .skipping, .failed: true
        }
    }

    /// The message of the last `assembled`, or the first bytes of the last `oversize`.
    public var assembled: [UInt8] { self.carry }

    /// The same without a copy.
    public func withAssembled<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.carry.withUnsafeBytes(body)
    }

    /// The next message, or nil when all bytes of the input are taken and more are needed.
    ///
    /// - Parameter offset: where to go on in the input; moved behind what was taken.
    /// - Complexity: O(bytes taken).
    public mutating func next(in input: UnsafeRawBufferPointer, from offset: inout Int) -> Frame? {
        if let line = self.wholeLine(in: input, from: &offset) { return .input(line) }
        return self.nextOfAnyKind(in: input, from: &offset)
    }

    private mutating func nextOfAnyKind(
        in input: UnsafeRawBufferPointer, from offset: inout Int
    ) -> Frame? {
        self.dropDelivered()
        while offset < input.count {
            if self.framing == nil { self.chooseFraming(firstByte: input[offset]) }
            let frame =
                switch self.state {
                case .message(let remaining):
                    self.framing == .contentLength
                        ? self.takeBody(input, &offset, remaining: remaining) : self.takeLine(input, &offset)
                case .header(let length): self.takeHeaderLine(input, &offset, length: length)
                case .skipping(let remaining): self.skip(input, &offset, remaining: remaining)
                case .failed: self.takeNothing(input, &offset)
                }
            if let frame { return frame }
        }
        return nil
    }

    /// The end of the stream: an unterminated last line counts as a message; anything else that is unfinished
    /// is unreadable.
    public mutating func finish() -> Frame? {
        self.dropDelivered()
        switch self.state {
        case .message where self.framing != .contentLength:
            return self.deliverCarriedLine()
        case .message, .header:
            guard self.isInsideMessage else { return nil }
            return self.fail(.truncated)
        case .skipping, .failed:
            return nil
        }
    }
}

// MARK: - Lines

extension FrameDecoder {
    /// The usual case, in a few instructions: nothing is kept here, and the next line lies whole in the input and is
    /// neither blank nor too long.
    @inline(__always)
    private func wholeLine(in input: UnsafeRawBufferPointer, from offset: inout Int) -> Range<Int>? {
        guard self.framing == .lines, self.carry.isEmpty, case .message = self.state,
            offset < input.count, let base = input.baseAddress,
            (base + offset).load(as: UInt8.self) > UInt8(ascii: " "),
            let newline = memchr(base + offset, 0x0A, input.count - offset)
        else { return nil }
        let start = offset
        let end = UnsafeRawPointer(newline) - base
        let hasReturn = (base + end - 1).load(as: UInt8.self) == UInt8(ascii: "\r")
        guard end - start <= self.messageBytes else { return nil }
        offset = end + 1
        return start..<(hasReturn ? end - 1 : end)
    }

    private mutating func chooseFraming(firstByte: UInt8) {
        guard firstByte == UInt8(ascii: "C") else {
            self.framing = .lines
            return
        }
        self.framing = .contentLength
        self.state = .header(length: nil)
    }

    private mutating func takeLine(_ input: UnsafeRawBufferPointer, _ offset: inout Int) -> Frame? {
        let newline = Self.newline(in: input, from: offset)
        let piece = offset..<(newline ?? input.count)
        offset = newline.map { $0 + 1 } ?? input.count
        if newline != nil, self.carry.isEmpty { return self.deliverLine(input, piece) }
        guard self.carry.count + piece.count <= self.carriedLineBytes else {
            self.keepPrefix(input[piece])
            return newline == nil ? self.startSkipping(remaining: 0) : self.deliverOversize()
        }
        self.keep(input[piece])
        return newline == nil ? nil : self.deliverCarriedLine()
    }

    /// Appends to the message that is being put together. What has outgrown the buffer that is kept will go on to grow:
    /// it gets room for four times as much, so that what came first is not moved again and again.
    private mutating func keep(_ bytes: Slice<UnsafeRawBufferPointer>) {
        let needed = self.carry.count + bytes.count
        if needed > self.carry.capacity, needed > Self.keptCapacity {
            self.carry.reserveCapacity(max(needed, min(needed * 4, self.messageBytes + Self.keptCapacity)))
        }
        self.carry.append(contentsOf: bytes)
    }

    /// A line is known to be over the limit only one byte behind it, since a carriage return there may belong
    /// to the line end; and it is reported only when enough of it is there to find an id in.
    private var carriedLineBytes: Int { max(self.messageBytes + 1, Self.prefixBytes) }

    /// A line that lies whole in the input; nil when it is blank.
    private mutating func deliverLine(_ input: UnsafeRawBufferPointer, _ piece: Range<Int>) -> Frame? {
        let line = Self.withoutCarriageReturn(input, piece)
        guard line.count <= self.messageBytes else {
            self.keepPrefix(input[line])
            return self.deliverOversize()
        }
        return Self.isBlank(input, line) ? nil : .input(line)
    }

    /// The carried line as a frame; nil when it is blank.
    private mutating func deliverCarriedLine() -> Frame? {
        let (line, isBlank) = self.carry.withUnsafeBytes {
            let line = Self.withoutCarriageReturn($0, 0..<$0.count)
            return (line, Self.isBlank($0, line))
        }
        guard line.count <= self.messageBytes else {
            self.carry.removeLast(self.carry.count - min(line.count, Self.prefixBytes))
            return self.deliverOversize()
        }
        if isBlank {
            self.carry.removeAll(keepingCapacity: true)
            return nil
        }
        self.carry.removeLast(self.carry.count - line.upperBound)
        self.carryIsDelivered = true
        return .assembled
    }

    private mutating func keepPrefix(_ bytes: Slice<UnsafeRawBufferPointer>) {
        if self.carry.count > Self.prefixBytes {
            self.carry = Array(self.carry[..<Self.prefixBytes])
        } else {
            self.carry.append(contentsOf: bytes.prefix(Self.prefixBytes - self.carry.count))
        }
    }

    private static func newline(in input: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let base = input.baseAddress, let found = memchr(base + start, 0x0A, input.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private static func withoutCarriageReturn(
        _ input: UnsafeRawBufferPointer, _ line: Range<Int>
    ) -> Range<Int> {
        guard !line.isEmpty, input[line.upperBound - 1] == UInt8(ascii: "\r") else { return line }
        return line.lowerBound..<line.upperBound - 1
    }

    private static func isBlank(_ input: UnsafeRawBufferPointer, _ line: Range<Int>) -> Bool {
        line.allSatisfy { JSONScanner.isSpace(input[$0]) }
    }
}

// MARK: - Content-Length

extension FrameDecoder {
    private mutating func takeHeaderLine(
        _ input: UnsafeRawBufferPointer, _ offset: inout Int, length: Int?
    ) -> Frame? {
        let start = offset
        let newline = Self.newline(in: input, from: start)
        offset = newline.map { $0 + 1 } ?? input.count
        guard self.carry.count + (newline ?? input.count) - start <= self.headerLineBytes else {
            return self.fail(.lineTooLong)
        }
        self.carry.append(contentsOf: input[start..<(newline ?? input.count)])
        guard newline != nil else { return nil }
        if self.carry.last == UInt8(ascii: "\r") { self.carry.removeLast() }
        defer { self.carry.removeAll(keepingCapacity: true) }
        if self.carry.isEmpty { return self.startBody(length: length) }
        return self.readHeader(self.carry, length: length)
    }

    private mutating func readHeader(_ line: [UInt8], length: Int?) -> Frame? {
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else {
            return self.fail(.notAHeader)
        }
        let name = line[..<colon].map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        guard name.elementsEqual("content-length".utf8) else { return nil }
        guard length == nil else { return self.fail(.conflictingLengths) }
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
        let digits = value.drop { $0 == " " || $0 == "\t" }.prefix { $0.isASCII && $0.isNumber }
        let rest = value.drop { $0 == " " || $0 == "\t" }.dropFirst(digits.count)
        guard !digits.isEmpty, rest.allSatisfy({ $0 == " " || $0 == "\t" }), let count = Int(digits) else {
            return self.fail(.badLength)
        }
        self.state = .header(length: count)
        return nil
    }

    private mutating func startBody(length: Int?) -> Frame? {
        guard let length else { return self.fail(.missingLength) }
        self.state = length == 0 ? .header(length: nil) : .message(remaining: length)
        return nil
    }

    private mutating func takeBody(
        _ input: UnsafeRawBufferPointer, _ offset: inout Int, remaining: Int
    ) -> Frame? {
        let taken = min(remaining, input.count - offset)
        let range = offset..<offset + taken
        if self.carry.count + remaining > self.messageBytes {
            // Wait for enough of the body to find an id in it, then report it and skip the rest.
            let wanted = min(taken, Self.prefixBytes - self.carry.count)
            self.carry.append(contentsOf: input[range.prefix(wanted)])
            offset += wanted
            if self.carry.count < Self.prefixBytes, wanted < remaining {
                self.state = .message(remaining: remaining - wanted)
                return nil
            }
            return self.startSkipping(remaining: remaining - wanted)
        }
        offset += taken
        guard taken == remaining else {
            self.keep(input[range])
            self.state = .message(remaining: remaining - taken)
            return nil
        }
        self.state = .header(length: nil)
        if self.carry.isEmpty { return .input(range) }
        self.carry.append(contentsOf: input[range])
        self.carryIsDelivered = true
        return .assembled
    }
}

// MARK: - What cannot be taken

extension FrameDecoder {
    private mutating func startSkipping(remaining: Int) -> Frame {
        if self.framing == .contentLength {
            self.state = remaining == 0 ? .header(length: nil) : .skipping(remaining: remaining)
        } else {
            self.state = .skipping(remaining: 0)
        }
        return self.deliverOversize()
    }

    /// Gives up the message that is being put together: what is there of it is dropped, the rest skipped.
    public mutating func discardMessage() {
        guard case .message(let remaining) = self.state, !self.carryIsDelivered else { return }
        _ = self.startSkipping(remaining: remaining)
        self.dropDelivered()
    }

    private mutating func deliverOversize() -> Frame {
        self.carryIsDelivered = true
        return .oversize
    }

    private mutating func skip(
        _ input: UnsafeRawBufferPointer, _ offset: inout Int, remaining: Int
    ) -> Frame? {
        if self.framing == .contentLength {
            let taken = min(remaining, input.count - offset)
            offset += taken
            self.state = taken == remaining ? .header(length: nil) : .skipping(remaining: remaining - taken)
        } else if let newline = Self.newline(in: input, from: offset) {
            offset = newline + 1
            self.state = .message(remaining: 0)
        } else {
            offset = input.count
        }
        return nil
    }

    private mutating func fail(_ fault: HeaderFault) -> Frame {
        self.carry = []
        self.state = .failed
        return .unreadable(fault)
    }

    private func takeNothing(_ input: UnsafeRawBufferPointer, _ offset: inout Int) -> Frame? {
        offset = input.count
        return nil
    }

    private mutating func dropDelivered() {
        guard self.carryIsDelivered else { return }
        self.carryIsDelivered = false
        if self.carry.capacity > Self.keptCapacity {
            self.carry = []
        } else {
            self.carry.removeAll(keepingCapacity: true)
        }
    }
}
