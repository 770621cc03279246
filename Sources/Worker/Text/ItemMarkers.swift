/// Markers that begin the items of an enumeration inside running text.
///
///     1) The first item 2) The second item        • One • Two        a. One b. Two
///
/// Numbers and letters count at the start of a line, as `-`, `*` and `+` do; inside a line only when they
/// go on from the one before by one, so that "see 2. " and a stray "b. " are left alone.
enum ItemMarkers {
    static func find(in bytes: [UInt8], range: Range<Int>) -> [Range<Int>] {
        var markers: [Range<Int>] = []
        var expected: Ordinal?
        var index = range.lowerBound
        var isLineStart = true
        while index < range.upperBound {
            let byte = bytes[index]
            if byte == 0x0A { isLineStart = true }
            if UTF8Text.isSpace(byte) {
                index += 1
                continue
            }
            if let marker = self.bullet(bytes, at: index, end: range.upperBound, isLineStart: isLineStart) {
                markers.append(marker)
                index = marker.upperBound
            } else if let (ordinal, marker) = self.ordinal(bytes, at: index, end: range.upperBound),
                isLineStart || ordinal == expected
            {
                markers.append(marker)
                expected = ordinal.next
                index = marker.upperBound
            } else {
                while index < range.upperBound, !UTF8Text.isSpace(bytes[index]) { index += 1 }
            }
            isLineStart = false
        }
        return markers
    }

    /// The marker at the start of a line that begins at the index; nil when there is none.
    static func marker(in bytes: [UInt8], at index: Int, end: Int) -> Range<Int>? {
        self.bullet(bytes, at: index, end: end, isLineStart: true)
            ?? self.ordinal(bytes, at: index, end: end)?.marker
    }

    private enum Ordinal: Equatable {
        case number(Int, closed: [UInt8])
        case letter(UInt8)

        var next: Ordinal {
            switch self {
            case .number(let value, let closed): .number(value + 1, closed: closed)
            case .letter(let letter): .letter(letter + 1)
            }
        }
    }

    /// `•`, `⁃`, `◦`, `‣` anywhere, with a number that may follow; `-`, `*`, `+` and a space in a line's start.
    private static func bullet(_ bytes: [UInt8], at index: Int, end: Int, isLineStart: Bool) -> Range<Int>? {
        switch UTF8Text.scalar(bytes, at: index)?.scalar.value {
        case 0x2022, 0x2043, 0x25E6, 0x2023:
            var after = index + 3
            while after < end, UTF8Text.isSpace(bytes[after]) { after += 1 }
            return index..<(self.ordinal(bytes, at: after, end: end)?.marker.upperBound ?? index + 3)
        case 0x2D, 0x2A, 0x2B:
            guard isLineStart, index + 1 < end, bytes[index + 1] == 0x20 else { return nil }
            return index..<index + 1
        default:
            return nil
        }
    }

    /// `12.`, `12)`, `12.)` or `a.` with white space behind it.
    private static func ordinal(
        _ bytes: [UInt8], at index: Int, end: Int
    ) -> (ordinal: Ordinal, marker: Range<Int>)? {
        var position = index
        var value = 0
        while position < end, position - index < 3, bytes[position] &- UInt8(ascii: "0") < 10 {
            value = value * 10 + Int(bytes[position] - UInt8(ascii: "0"))
            position += 1
        }
        let isNumber = position > index
        if !isNumber {
            guard index < end, bytes[index] &- UInt8(ascii: "a") < 26 else { return nil }
            position += 1
        }
        let closer = position
        while position < end, position - closer < 2,
            bytes[position] == UInt8(ascii: ".") || bytes[position] == UInt8(ascii: ")")
        {
            position += 1
        }
        guard position > closer, position < end, UTF8Text.isSpace(bytes[position]) else { return nil }
        let ordinal =
            isNumber ? Ordinal.number(value, closed: Array(bytes[closer..<position])) : .letter(bytes[index])
        return (ordinal, index..<position)
    }
}
