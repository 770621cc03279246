/// Memory for byte strings that come and go, which takes hardly more than they have bytes, whatever their sizes.
///
///     segment:  │ owner │ count │ bytes … │ owner │ count │ bytes … │   … never touched, so not resident
///                 4       4       count
///
/// Strings are written one behind the other into segments of 1 MiB; a large one has a segment of its own. A string
/// that is removed leaves a gap. When gaps make up more than a sixteenth of what is alive, the segment with the largest
/// share of them is emptied, a string at a time: its strings move to the newest segment, and its pages go back to
/// the system. (The log-structured memory of Rumble, Kejriwal and Ousterhout, FAST 2014, without its threads.)
///
/// malloc rounds every string up, and holes that small old ones leave between others fit no large new one: 64 MiB of
/// entries whose sizes changed now and then took 134 MiB of it, and never less again.
struct ByteArena: ~Copyable {
    /// Where a string is, until it moves.
    struct Place: Equatable {
        fileprivate var segment: UInt32
        fileprivate var offset: UInt32
    }

    private struct Segment {
        /// nil while the number of this segment is free.
        var base: UnsafeMutableRawPointer?
        var capacity: Int
        /// Written so far, and what of that is alive; both with headers.
        var used = 0
        var live = 0

        var gaps: Int { self.used - self.live }
    }

    /// What a string costs besides its bytes.
    static let headerBytes = 8
    private static let segmentBytes = 1 << 20
    /// A larger string has its own segment, so that not much is left over at the end of one.
    private static let sharedLimit = segmentBytes / 4
    private static let dead = UInt32.max
    /// Gaps that are always allowed.
    private static let leastGaps = 16 * 1024

    private var segments: [Segment] = []
    private var freeNumbers: [UInt32] = []
    /// Where the next string goes.
    private var newest: UInt32?
    /// What is being emptied, and how far it has been.
    private var emptied: (segment: UInt32, offset: Int)?
    private var gaps = 0
    /// Bytes of all strings, with their headers.
    private(set) var live = 0

    deinit {
        for segment in self.segments {
            if let base = segment.base { Pages.release(base, segment.capacity) }
        }
    }

    /// Makes room for a string, whose bytes are then to be written.
    ///
    /// - Parameters:
    ///   - count: less than 4 GiB.
    ///   - owner: a number by which `relocate` tells whose string has moved; not the largest.
    mutating func add(_ count: Int, owner: UInt32) -> Place {
        let size = Self.headerBytes + count
        let number = size > Self.sharedLimit ? self.makeSegment(size) : self.segment(withRoomFor: size)
        let place = Place(segment: number, offset: UInt32(self.segments[Int(number)].used))
        self.write(owner, at: place, field: 0)
        self.write(UInt32(count), at: place, field: 4)
        self.segments[Int(number)].used += size
        self.segments[Int(number)].live += size
        self.live += size
        return place
    }

    /// The bytes of a string; good until anything is added, removed or relocated.
    func bytes(at place: Place) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            start: self.pointer(place) + Self.headerBytes, count: Int(self.read(place, field: 4)))
    }

    func count(at place: Place) -> Int { Int(self.read(place, field: 4)) }

    func owner(at place: Place) -> UInt32 { self.read(place, field: 0) }

    /// Its owner has another number now.
    func setOwner(_ owner: UInt32, at place: Place) { self.write(owner, at: place, field: 0) }

    mutating func remove(_ place: Place) {
        let size = Self.headerBytes + self.count(at: place)
        self.write(Self.dead, at: place, field: 0)
        self.live -= size
        self.gaps += size
        self.segments[Int(place.segment)].live -= size
        guard self.segments[Int(place.segment)].live == 0 else { return }
        self.release(place.segment)
    }

    /// Moves one string, if there are too many gaps. Called until it returns nil, or for as long as there is time.
    ///
    /// - Returns: the owner of the string, and where it is now.
    mutating func relocate() -> (owner: UInt32, place: Place)? {
        guard let (segment, begin) = self.emptied ?? self.chooseEmptied() else { return nil }
        var offset = begin
        while true {
            let old = Place(segment: segment, offset: UInt32(offset))
            let (owner, count) = (self.owner(at: old), self.count(at: old))
            offset += Self.headerBytes + count
            // One is still alive: with the last of them the segment goes.
            guard owner != Self.dead else { continue }
            self.emptied = (segment, offset)
            let place = self.add(count, owner: owner)
            self.bytes(at: place).copyMemory(from: UnsafeRawBufferPointer(self.bytes(at: old)))
            self.remove(old)
            return (owner, place)
        }
    }

    /// The segment with the most gaps, if all gaps are too many. O(segments).
    private mutating func chooseEmptied() -> (segment: UInt32, offset: Int)? {
        guard self.gaps > max(self.live / 16, Self.leastGaps) else { return nil }
        let worst = self.segments.indices.max { self.segments[$0].gaps < self.segments[$1].gaps }
        guard let worst, self.segments[worst].gaps > 0 else { return nil }
        if self.newest == UInt32(worst) { self.newest = nil }
        return (UInt32(worst), 0)
    }

    // MARK: Segments

    private mutating func segment(withRoomFor size: Int) -> UInt32 {
        if let newest = self.newest {
            let segment = self.segments[Int(newest)]
            if segment.used + size <= segment.capacity { return newest }
        }
        let number = self.makeSegment(Self.segmentBytes)
        self.newest = number
        return number
    }

    private mutating func makeSegment(_ size: Int) -> UInt32 {
        let segment = Segment(base: Pages.allocate(size), capacity: size)
        if let number = self.freeNumbers.popLast() {
            self.segments[Int(number)] = segment
            return number
        }
        self.segments.append(segment)
        return UInt32(self.segments.count - 1)
    }

    /// Gives the memory of a segment back in which nothing is alive.
    private mutating func release(_ number: UInt32) {
        let segment = self.segments[Int(number)]
        self.gaps -= segment.used
        if let base = segment.base { Pages.release(base, segment.capacity) }
        self.segments[Int(number)] = Segment(base: nil, capacity: 0)
        self.freeNumbers.append(number)
        if self.newest == number { self.newest = nil }
        if self.emptied?.segment == number { self.emptied = nil }
    }

    // MARK: Bytes

    private func pointer(_ place: Place) -> UnsafeMutableRawPointer {
        guard let base = self.segments[Int(place.segment)].base else {
            preconditionFailure("no string at \(place)")
        }
        return base + Int(place.offset)
    }

    private func read(_ place: Place, field: Int) -> UInt32 {
        self.pointer(place).loadUnaligned(fromByteOffset: field, as: UInt32.self)
    }

    private func write(_ number: UInt32, at place: Place, field: Int) {
        self.pointer(place).storeBytes(of: number, toByteOffset: field, as: UInt32.self)
    }

    /// O(segments), for tests.
    func _checkInvariants() {
        precondition(self.segments.reduce(0) { $0 + $1.live } == self.live)
        precondition(self.segments.reduce(0) { $0 + $1.gaps } == self.gaps)
        precondition(self.segments.allSatisfy { $0.base == nil || $0.live > 0 }, "an empty segment")
    }
}
