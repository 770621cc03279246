// Compiled twice: into ProtocolTests, and with the sources of Protocol into the libFuzzer program.
#if !LIBFUZZER
    @testable import Protocol
#endif

/// What must hold for any bytes whatever. Each check says which rule was broken, or nil.
enum ProtocolInvariants {
    static func firstBroken(by bytes: [UInt8], seed: UInt64) -> String? {
        self.ofStream(bytes, seed: seed) ?? self.ofClientMessage(bytes) ?? self.ofWorkerMessage(bytes)
            ?? self.ofDocument(bytes)
    }
}

// MARK: - Streams

extension ProtocolInvariants {
    /// A stream gives the same frames however it is cut, in either framing and under a small limit.
    static func ofStream(_ bytes: [UInt8], seed: UInt64) -> String? {
        var small = MessageLimits()
        small.messageBytes = 48
        small.headerLineBytes = 24
        for (framing, limits) in [(nil, MessageLimits()), (.lines, small), (.contentLength, small)]
            as [(FrameDecoder.Framing?, MessageLimits)]
        {
            let whole = self.frames([bytes[...]], framing, limits)
            let cut = self.frames(self.pieces(of: bytes, seed: seed), framing, limits)
            guard whole == cut else { return "frames depend on the cuts: \(whole) and \(cut)" }
            for frame in whole where frame.kind == .message && frame.bytes.count > limits.messageBytes {
                return "a message over the limit: \(frame.bytes.count)"
            }
        }
        return nil
    }

    private struct CutFrame: Equatable {
        enum Kind: Equatable { case message, oversize, unreadable(FrameDecoder.HeaderFault) }
        var kind: Kind
        var bytes: [UInt8]
    }

    private static func frames(
        _ pieces: [ArraySlice<UInt8>], _ framing: FrameDecoder.Framing?, _ limits: MessageLimits
    ) -> [CutFrame] {
        var decoder = FrameDecoder(framing: framing, limits: limits)
        var output: [CutFrame] = []
        for piece in pieces {
            piece.withUnsafeBytes { input in
                var offset = 0
                while let frame = decoder.next(in: input, from: &offset) {
                    output.append(self.described(frame, decoder, input))
                }
                precondition(offset == input.count, "the decoder left bytes behind")
                precondition(decoder.heldBytes <= max(limits.messageBytes + 1, FrameDecoder.prefixBytes))
            }
        }
        if let frame = decoder.finish() {
            output.append(self.described(frame, decoder, UnsafeRawBufferPointer(start: nil, count: 0)))
        }
        precondition(decoder.finish() == nil, "the stream ended twice")
        return output
    }

    private static func described(
        _ frame: FrameDecoder.Frame, _ decoder: FrameDecoder, _ input: UnsafeRawBufferPointer
    ) -> CutFrame {
        switch frame {
        case .input(let range): CutFrame(kind: .message, bytes: Array(input[range]))
        case .assembled: CutFrame(kind: .message, bytes: decoder.assembled)
        case .oversize: CutFrame(kind: .oversize, bytes: decoder.assembled)
        case .unreadable(let fault): CutFrame(kind: .unreadable(fault), bytes: [])
        }
    }

    private static func pieces(of bytes: [UInt8], seed: UInt64) -> [ArraySlice<UInt8>] {
        var random = SplitMix64(seed: seed)
        var pieces: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = random.chance(1, in: 3) ? 1 : Int.random(in: 0...40, using: &random)
            pieces.append(rest.prefix(count))
            rest = rest.dropFirst(count)
        }
        return pieces
    }
}

// MARK: - Messages

extension ProtocolInvariants {
    /// Whatever is accepted from a client is JSON, and what a worker gets of it is one line that says the same.
    static func ofClientMessage(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBytes { bytes in
            let limits = MessageLimits()
            if case .invalid(_, let id) = ClientMessage.oversize(prefix: bytes, limits: limits),
                let broken = self.ofID(id, bytes)
            {
                return broken
            }
            switch ClientMessage.scan(bytes, limits: limits) {
            case .request(let request): return self.ofRequest(request, bytes)
            case .batch(let elements):
                for element in elements {
                    if case .malformed = ClientMessage.scanElement(bytes, element, limits: limits) {
                        return "an element of an accepted batch is no JSON"
                    }
                }
                return self.isJSON(bytes) ? nil : "a batch is accepted and is no JSON"
            case .invalid(.tooDeep, let id): return self.ofID(id, bytes)
            case .invalid(_, let id):
                return self.isJSON(bytes) ? self.ofID(id, bytes) : "an invalid request is no JSON"
            case .malformed: return self.isJSON(bytes) ? "JSON is refused as malformed" : nil
            }
        }
    }

    private static func ofRequest(_ request: RequestEnvelope, _ bytes: UnsafeRawBufferPointer) -> String? {
        guard self.isJSON(bytes) else { return "a request is accepted and is no JSON" }
        if let broken = self.ofID(request.id, bytes) { return broken }
        var requestID: Range<Int>?
        var traceparent: Range<Int>?
        if let range = request.metadata,
            let metadata = try? RequestMetadata(scanning: bytes, range, limits: MessageLimits())
        {
            requestID = metadata.requestID
            traceparent = metadata.traceparent
            if let timeout = metadata.timeoutMilliseconds,
                !(1...RequestMetadata.maximumTimeoutMilliseconds).contains(timeout)
            {
                return "a timeout of \(timeout) ms"
            }
        }
        func slice(_ range: Range<Int>?) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(rebasing: bytes[range ?? 0..<0])
        }
        var line: [UInt8] = []
        line.append(
            CallMessage(
                number: 7, method: slice(request.method), params: slice(request.params),
                requestID: slice(requestID), traceparent: slice(traceparent), deadlineMilliseconds: 5))
        line.append(0x0A)
        let params = Array(slice(request.params)).map { $0 == 0x0A || $0 == 0x0D ? 0x20 : $0 }
        return self.ofLine(line, method: Array(slice(request.method)), params: params)
    }

    private static func ofLine(_ line: [UInt8], method: [UInt8], params: [UInt8]) -> String? {
        guard line.count(where: { $0 == 0x0A }) == 1, line.last == 0x0A, !line.contains(0x0D) else {
            return "more than one line for a worker: \(String(decoding: line, as: UTF8.self))"
        }
        return line.withUnsafeBytes { bytes in
            guard case .request(let request) = ClientMessage.scan(bytes, limits: MessageLimits()),
                request.id.map({ Array(bytes[$0]) }) == [UInt8(ascii: "7")],
                Array(bytes[request.method]) == method, Array(bytes[request.params ?? 0..<0]) == params
            else { return "a worker gets another request: \(String(decoding: line, as: UTF8.self))" }
            return nil
        }
    }

    /// An id is written into the answer byte for byte, so it must be JSON, and short.
    private static func ofID(_ id: Range<Int>?, _ bytes: UnsafeRawBufferPointer) -> String? {
        guard let id else { return nil }
        let text = UnsafeRawBufferPointer(rebasing: bytes[id])
        let isKept = text.count <= MessageLimits().idBytes && self.isJSON(text)
        return isKept ? nil : "an id that is no JSON: \(Excerpt.escaped(text))"
    }

    /// A result or error that is passed on is JSON.
    static func ofWorkerMessage(_ bytes: [UInt8]) -> String? {
        bytes.withUnsafeBytes { bytes in
            switch WorkerMessage.scan(bytes, limits: MessageLimits()) {
            case .result(_, let range), .error(_, let range):
                let isWhole =
                    self.isJSON(UnsafeRawBufferPointer(rebasing: bytes[range])) && self.isJSON(bytes)
                return isWhole ? nil : "a reply is accepted and is no JSON"
            case .notification(let notification):
                let params = notification.params.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
                if let params, case .chunk(let chunk) = StreamChunk.read(params),
                    !self.isJSON(UnsafeRawBufferPointer(rebasing: params[chunk.data]))
                {
                    return "a chunk is accepted and its data are no JSON"
                }
                return self.isJSON(bytes) ? nil : "a worker's message is accepted and is no JSON"
            case .request, .foreign:
                return self.isJSON(bytes) ? nil : "a worker's message is accepted and is no JSON"
            case .unreadable, .noise: return nil
            }
        }
    }

    private static func isJSON(_ bytes: UnsafeRawBufferPointer) -> Bool {
        (try? JSONScanner.validateDocument(bytes, depthLimit: JSONScanner.defaultDepthLimit)) != nil
    }
}

// MARK: - Documents

extension ProtocolInvariants {
    /// What is parsed is written back the same; JSON is JSON5; a document is a tree or has a fault.
    static func ofDocument(_ bytes: [UInt8]) -> String? {
        let document = JSON5Reader.read(bytes)
        if document.value == nil, document.errors.isEmpty { return "no tree and no fault" }
        if document.errors.contains(where: { $0.location.line < 1 || $0.location.column < 1 }) {
            return "a fault outside the text: \(document.errors)"
        }
        if let tree = document.value {
            _ = ConfigurationObject.read(tree) { object in
                var list: [String] = []
                object.read("params", into: &list, .list(of: .text))
            }
        }
        guard let value = try? JSONValue(parsing: bytes) else { return nil }
        guard (try? JSONValue(parsing: value.bytes)) == value else {
            return "written otherwise than it was read"
        }
        let isExact = !value.text.unicodeScalars.contains("\u{FFFD}")  // JSON5 refuses lone surrogates
        if isExact, !document.errors.isEmpty { return "JSON, but not JSON5: \(document.errors)" }
        return nil
    }
}

/// A small generator of random numbers with a seed (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var word = self.state
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return word ^ word >> 31
    }

    mutating func chance(_ count: UInt64, in all: UInt64) -> Bool { self.next() % all < count }
}
