import Glibc

extension UnsafeRawBufferPointer {
    /// Whether these are the same bytes. `elementsEqual` looks at them one by one.
    public func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        guard self.count == other.count, let base = self.baseAddress, let otherBase = other.baseAddress
        else { return self.count == other.count }
        return memcmp(base, otherBase, self.count) == 0
    }
}
