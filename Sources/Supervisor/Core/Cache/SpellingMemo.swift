import Protocol

/// How keys were spelled before: the canonical form of params, and the key's hash, by the bytes they were made of.
///
///     generation │ method │ {"b": 1, "a": 2}        →        {"a":2,"b":1}, hash of the key
///
/// Who asks again spells it the same way, and to compare 100 bytes is 20 times cheaper than to bring them into
/// canonical form. Nothing here decides anything: what is not found is made anew, and what is found was made of these
/// very bytes.
///
/// A table of sets of two slots; the third of a set takes the place of one of them. Slots have a fixed size and lie in
/// pages that become resident when they are used: 2 MiB at most.
struct SpellingMemo: ~Copyable {
    private static let sets = 2048
    private static let slotBytes = 512
    private static let bytes = 2 * sets * slotBytes

    /// At the beginning of a slot; the bytes, then the canonical form, follow it.
    private struct Header: BitwiseCopyable {
        /// Of the bytes; 0: the slot is empty.
        var fingerprint: UInt64 = 0
        var hash: UInt32 = 0
        var count: UInt16 = 0
        var canonicalCount: UInt16 = 0
    }

    /// The canonical form and the hash of a key that was spelled so; good until the next is noted.
    struct Known {
        let canonical: UnsafeRawBufferPointer
        let hash: UInt32
    }

    private let slots = Pages.allocate(SpellingMemo.bytes)
    /// What no client can guess, so that none can choose where others' keys go.
    private let secret: UInt64
    private var turn = false

    init() {
        var random = SystemRandomNumberGenerator()
        self.secret = random.next()
    }

    deinit { Pages.release(self.slots, Self.bytes) }

    /// - Parameter spelled: all that the key is made of, params as they stand in the call.
    func find(_ spelled: UnsafeRawBufferPointer) -> Known? {
        guard Self.fits(spelled.count) else { return nil }
        let fingerprint = self.fingerprint(of: spelled)
        let set = self.set(of: fingerprint)
        var slot = set
        if !self.holds(slot, spelled, fingerprint) {
            slot = set + Self.slotBytes
            guard self.holds(slot, spelled, fingerprint) else { return nil }
        }
        let header = slot.load(as: Header.self)
        let canonical = slot + MemoryLayout<Header>.size + Int(header.count)
        return Known(
            canonical: UnsafeRawBufferPointer(start: canonical, count: Int(header.canonicalCount)),
            hash: header.hash)
    }

    /// Keeps what a key became, if it is not too large.
    mutating func note(_ spelled: UnsafeRawBufferPointer, canonical: UnsafeRawBufferPointer, hash: UInt32) {
        guard Self.fits(spelled.count + canonical.count), let bytes = spelled.baseAddress else { return }
        let fingerprint = self.fingerprint(of: spelled)
        let set = self.set(of: fingerprint)
        var slot = set
        if set.load(as: Header.self).fingerprint != 0 {
            self.turn.toggle()
            if self.turn || (set + Self.slotBytes).load(as: Header.self).fingerprint == 0 {
                slot = set + Self.slotBytes
            }
        }
        let header = Header(
            fingerprint: fingerprint, hash: hash, count: UInt16(spelled.count),
            canonicalCount: UInt16(canonical.count))
        slot.storeBytes(of: header, as: Header.self)
        let place = slot + MemoryLayout<Header>.size
        place.copyMemory(from: bytes, byteCount: spelled.count)
        if let base = canonical.baseAddress {
            (place + spelled.count).copyMemory(from: base, byteCount: canonical.count)
        }
    }

    private static func fits(_ count: Int) -> Bool {
        count >= 8 && count <= self.slotBytes - MemoryLayout<Header>.size
    }
}

extension SpellingMemo {
    /// The first slot of the set where such bytes are.
    private func set(of fingerprint: UInt64) -> UnsafeMutableRawPointer {
        self.slots + Int(truncatingIfNeeded: fingerprint % UInt64(Self.sets)) * 2 * Self.slotBytes
    }

    private func holds(
        _ slot: UnsafeMutableRawPointer, _ spelled: UnsafeRawBufferPointer, _ fingerprint: UInt64
    ) -> Bool {
        let header = slot.load(as: Header.self)
        guard header.fingerprint == fingerprint, Int(header.count) == spelled.count else { return false }
        let bytes = UnsafeRawBufferPointer(
            start: slot + MemoryLayout<Header>.size, count: Int(header.count))
        return bytes.isEqual(to: spelled)
    }

    /// Sixteen bytes at a time are multiplied with each other into 128 bits, of which both halves are kept (folded, as in
    /// wyhash by W. Yi). Never 0.
    private func fingerprint(of bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash = self.secret ^ UInt64(bytes.count)
        var place = 0
        while place < bytes.count {
            // The last words overlap those before them.
            let low = bytes.loadUnaligned(fromByteOffset: min(place, bytes.count - 8), as: UInt64.self)
            let high = bytes.loadUnaligned(fromByteOffset: min(place + 8, bytes.count - 8), as: UInt64.self)
            let product = (low ^ self.secret).multipliedFullWidth(by: high ^ hash)
            hash = product.high ^ product.low ^ 0x9E37_79B9_7F4A_7C15
            place += 16
        }
        return max(1, hash)
    }
}
