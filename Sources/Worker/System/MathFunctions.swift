import Glibc

/// The functions of libm that are used, under names of their own: `log` means writing a log elsewhere.
enum MathFunctions {
    static func ln(_ value: Double) -> Double { Glibc.log(value) }
    static func log2(_ value: Double) -> Double { Glibc.log2(value) }
    static func log1p(_ value: Double) -> Double { Glibc.log1p(value) }
    static func exp2(_ value: Double) -> Double { Glibc.exp2(value) }
}
