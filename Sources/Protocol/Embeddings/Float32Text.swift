import Glibc

/// Numbers of vectors as JSON text, exact to the last bit of a 32-bit float in both directions.
public enum Float32Text {
    /// Appends the shortest text that reads back as the same number.
    ///
    /// - Parameter number: finite.
    public static func append(_ number: Float, to output: inout [UInt8]) {
        // At most 15 bytes: a small string, for which no memory is taken.
        output.append(contentsOf: number.description.utf8)
    }

    /// The powers of ten that a Double holds exactly.
    private static let powers: [Double] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
        1e18,
        1e19, 1e20, 1e21, 1e22,
    ]

    /// Reads a number that the JSON grammar accepts, rounded to nearest, ties to even.
    ///
    /// Where digits and power of ten are both exact as Doubles one division or multiplication gives the correctly
    /// rounded Double (W. Clinger, How to Read Floating Point Numbers Accurately, 1990). Rounding that again to a
    /// Float is wrong only where the Double stands half way between two Floats: that, and all that is too large for
    /// the short way, is left to strtof.
    ///
    /// - Returns: nil when it is beyond the largest finite Float.
    static func parse(_ text: UnsafeRawBufferPointer) -> Float? {
        var index = 0
        let isNegative = text.first == UInt8(ascii: "-")
        if isNegative { index += 1 }
        var digits: UInt64 = 0
        var count = 0
        var exponent = 0
        var isFraction = false
        while index < text.count {
            let byte = text[index]
            if byte == UInt8(ascii: ".") {
                isFraction = true
            } else if byte &- UInt8(ascii: "0") < 10 {
                if count > 0 || byte != UInt8(ascii: "0") { count += 1 }
                guard count <= 19 else { return self.parseSlowly(text) }
                digits = digits * 10 + UInt64(byte - UInt8(ascii: "0"))
                if isFraction { exponent -= 1 }
            } else {
                break
            }
            index += 1
        }
        if index < text.count {
            guard let written = self.exponent(UnsafeRawBufferPointer(rebasing: text[(index + 1)...])) else {
                return self.parseSlowly(text)
            }
            exponent += written
        }
        if digits == 0 { return isNegative ? -0.0 : 0 }
        guard digits < 1 << 53, abs(exponent) <= 22 else { return self.parseSlowly(text) }
        let power = self.powers[abs(exponent)]
        let double = exponent < 0 ? Double(digits) / power : Double(digits) * power
        let isHalfWay = double.bitPattern & 0x1FFF_FFFF == 0x1000_0000
        guard !isHalfWay, double >= Double(Float.leastNormalMagnitude), double < 3.4e38 else {
            return self.parseSlowly(text)
        }
        return isNegative ? -Float(double) : Float(double)
    }

    /// What stands behind the `e`; nil when it is too large to matter how large.
    private static func exponent(_ text: UnsafeRawBufferPointer) -> Int? {
        guard text.count <= 5 else { return nil }
        var value = 0
        for byte in text where byte &- UInt8(ascii: "0") < 10 {
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        return text.first == UInt8(ascii: "-") ? -value : value
    }

    private static func parseSlowly(_ text: UnsafeRawBufferPointer) -> Float? {
        let number = withUnsafeTemporaryAllocation(of: CChar.self, capacity: text.count + 1) { copy in
            for (index, byte) in text.enumerated() { copy[index] = CChar(bitPattern: byte) }
            copy[text.count] = 0
            return copy.baseAddress.map { strtof($0, nil) } ?? .nan
        }
        return number.isFinite ? number : nil
    }
}
