/// The hash table: where an entry is, by its key.
///
/// A number of places that is no power of two, so that it can grow by half: a table that doubles is a third full
/// after it, which costs 11 bytes an entry.
extension LRUStore {
    static var leastPlaces: Int { 16 }

    /// SipHash with a key of this process: whoever sends keys cannot choose where they collide.
    static func hash(_ key: UnsafeRawBufferPointer) -> UInt32 {
        var hasher = Hasher()
        hasher.combine(bytes: key)
        return UInt32(truncatingIfNeeded: hasher.finalize())
    }

    /// Where a hash is looked for first: the hash as a share of all hashes, of the table (D. Lemire, Fast random
    /// integer generation in an interval, 2019).
    private func place(of hash: UInt32) -> Int { Int((UInt64(hash) * UInt64(self.table.count)) >> 32) }

    private func place(after place: Int) -> Int { place + 1 == self.table.count ? 0 : place + 1 }

    /// Steps from one place to another.
    private func distance(from start: Int, to end: Int) -> Int {
        end >= start ? end - start : end - start + self.table.count
    }

    func find(_ key: UnsafeRawBufferPointer, _ hash: UInt32) -> UInt32? {
        var place = self.place(of: hash)
        while self.table[place] != Self.none {
            let index = self.table[place]
            if self[index].hash == hash, self.isEntry(index, of: key) { return index }
            place = self.place(after: place)
        }
        return nil
    }

    mutating func enter(_ index: UInt32) {
        if self.count * 4 > self.table.count * 3 {
            self.resizeTable(to: self.table.count * 3 / 2)  // the new one is among the nodes already
        } else {
            self.put(index)
        }
    }

    private mutating func put(_ index: UInt32) {
        var place = self.place(of: self[index].hash)
        while self.table[place] != Self.none { place = self.place(after: place) }
        self.table[place] = index
    }

    /// Takes an index out and moves those behind it up that may be found only over its place (D. Knuth, The Art of
    /// Computer Programming 3, 6.4, algorithm R): so there are no marks of what was removed.
    mutating func leaveTable(_ index: UInt32) {
        var hole = self.placeInTable(index)
        var place = self.place(after: hole)
        while self.table[place] != Self.none {
            let wanted = self.place(of: self[self.table[place]].hash)
            // It may move when its wanted place is not between the hole and where it stands.
            if self.distance(from: wanted, to: place) >= self.distance(from: hole, to: place) {
                self.table[hole] = self.table[place]
                hole = place
            }
            place = self.place(after: place)
        }
        self.table[hole] = Self.none
    }

    /// An entry has another index now.
    mutating func renameInTable(_ index: UInt32, to other: UInt32) {
        self.table[self.placeInTable(index)] = other
    }

    /// Where an entry stands that is in the table.
    private func placeInTable(_ index: UInt32) -> Int {
        var place = self.place(of: self[index].hash)
        while self.table[place] != index { place = self.place(after: place) }
        return place
    }

    /// For a table that has become much too large.
    mutating func shrinkTable() {
        guard self.count * 4 < self.table.count, self.table.count > Self.leastPlaces else { return }
        self.resizeTable(to: max(Self.leastPlaces, self.table.count / 2))
    }

    private mutating func resizeTable(to places: Int) {
        // The old one goes first: never are both there.
        Self.releaseTable(self.table)
        self.table = Self.makeTable(places)
        for index in 0..<self.count { self.put(UInt32(index)) }
    }

    static func makeTable(_ places: Int) -> UnsafeMutableBufferPointer<UInt32> {
        let base = Pages.allocate(places * MemoryLayout<UInt32>.stride)
        let table = UnsafeMutableBufferPointer(
            start: base.bindMemory(to: UInt32.self, capacity: places), count: places)
        table.initialize(repeating: Self.none)
        return table
    }

    static func releaseTable(_ table: UnsafeMutableBufferPointer<UInt32>) {
        let bytes = UnsafeMutableRawBufferPointer(table)
        if let base = bytes.baseAddress { Pages.release(base, bytes.count) }
    }

    /// For tests.
    func isInTable(_ index: UInt32) -> Bool {
        var place = self.place(of: self[index].hash)
        while self.table[place] != index {
            guard self.table[place] != Self.none else { return false }
            place = self.place(after: place)
        }
        return true
    }
}
