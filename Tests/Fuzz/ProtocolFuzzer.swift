/// The entry point of libFuzzer: any bytes, against the invariants that the tests check as well.
///
/// The first byte seeds how the stream is cut.
@c(LLVMFuzzerTestOneInput)
public func fuzz(_ data: UnsafePointer<UInt8>, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    if let broken = ProtocolInvariants.firstBroken(by: bytes, seed: UInt64(data[0])) {
        fatalError(broken)
    }
    return 0
}
