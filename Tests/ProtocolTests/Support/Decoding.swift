import Protocol

/// What a decoder handed out, with its bytes.
enum Decoded: Equatable {
    case message([UInt8])
    case oversize(prefix: [UInt8])
    case unreadable(FrameDecoder.HeaderFault)

    static func message(_ text: String) -> Decoded { .message(Array(text.utf8)) }
}

/// Reads a stream in those pieces, to its end.
func decode(
    _ pieces: [[UInt8]], framing: FrameDecoder.Framing? = nil, limits: MessageLimits = MessageLimits()
) -> [Decoded] {
    var decoder = FrameDecoder(framing: framing, limits: limits)
    var output: [Decoded] = []
    for piece in pieces {
        piece.withUnsafeBytes { output += frames(of: &decoder, in: $0) }
    }
    let last = decoder.finish()
    if let last { output.append(decoded(last, decoder, UnsafeRawBufferPointer(start: nil, count: 0))) }
    return output
}

func decode(
    _ text: String, framing: FrameDecoder.Framing? = nil, limits: MessageLimits = MessageLimits()
) -> [Decoded] {
    decode([Array(text.utf8)], framing: framing, limits: limits)
}

/// All frames of one piece; the decoder must take the whole of it.
func frames(of decoder: inout FrameDecoder, in input: UnsafeRawBufferPointer) -> [Decoded] {
    var output: [Decoded] = []
    var offset = 0
    while let frame = decoder.next(in: input, from: &offset) {
        output.append(decoded(frame, decoder, input))
    }
    precondition(offset == input.count, "the decoder left bytes behind")
    return output
}

private func decoded(
    _ frame: FrameDecoder.Frame, _ decoder: FrameDecoder, _ input: UnsafeRawBufferPointer
) -> Decoded {
    switch frame {
    case .input(let range): .message(Array(input[range]))
    case .assembled: .message(decoder.assembled)
    case .oversize: .oversize(prefix: decoder.assembled)
    case .unreadable(let fault): .unreadable(fault)
    }
}

extension [UInt8] {
    /// The bytes in pieces that end at those offsets.
    func cut(at offsets: [Int]) -> [[UInt8]] {
        let ends = offsets + [self.count]
        let starts = [0] + offsets
        return zip(starts, ends).map { Array(self[$0..<$1]) }
    }
}

func contentLength(_ body: String, headers: String = "") -> String {
    "Content-Length: \(body.utf8.count)\r\n\(headers)\r\n\(body)"
}
