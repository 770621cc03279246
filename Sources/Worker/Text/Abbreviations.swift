/// What a full stop after a word says about the end of the sentence.
enum Abbreviations {
    enum Kind: Equatable {
        /// An ordinary word: the stop ends the sentence.
        case none
        /// A name follows: `Mr.`, `St.`
        case neverLast
        /// A number follows, or the sentence ends: `p.`, `No.`, `Fig.`
        case beforeNumber
        /// `a.m.`, `P.M.`
        case timeOfDay(isUpperCase: Bool)
        /// Ends a sentence only before a word that likes to begin one: `Co.`, `etc.`, `U.S.`, initials.
        case maybeLast
    }

    /// - Parameter word: what stands before the stop, with inner stops but without the last.
    static func kind(of word: ArraySlice<UInt8>) -> Kind {
        guard let first = word.first, first &- UInt8(ascii: "0") >= 10 else {
            return word.isEmpty ? .beforeNumber : .none
        }
        let text = String(decoding: word, as: UTF8.self)
        let lowered = text.lowercased()
        if lowered == "a.m" || lowered == "p.m" { return .timeOfDay(isUpperCase: text != lowered) }
        // In lower case `ms` are milliseconds and `gen` is a program.
        if text != lowered, self.beforeNames.contains(lowered) { return .neverLast }
        if self.beforeWords.contains(text) { return .neverLast }
        if self.beforeNumbers.contains(lowered) || lowered.hasSuffix("°") { return .beforeNumber }
        if self.others.contains(lowered) { return .maybeLast }
        let parts = word.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let areInitials = parts.allSatisfy { $0.count == 1 && $0.allSatisfy(self.isLetter) }
        return areInitials ? .maybeLast : .none
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) &- UInt8(ascii: "a") < 26 }

    private static let beforeNames = words(
        """
        mr mrs ms messrs dr prof rev hon gen col maj capt cmdr lt sgt gov sen rep pres st mt ft
        """)

    private static let beforeWords = words("vs cf viz e.g i.e")

    private static let beforeNumbers = words(
        """
        p pp no nos vol vols fig figs eq eqs ch chap sec sect ref refs art op tab jan feb mar apr jun jul aug \
        sep sept oct nov dec n
        """)

    private static let others = words(
        """
        co inc ltd corp llc bros etc al jr sr esq eg ie approx est dept univ assn ave blvd rd ph.d m.d \
        b.a m.a b.c a.d ca resp min max incl excl ed eds
        """)

    private static func words(_ text: String) -> Set<String> {
        Set(text.split(separator: " ").map(String.init))
    }

    /// Words that, in upper case after an abbreviation, begin a sentence far more often than a name.
    static let sentenceStarters = words(
        """
        A Also An And Any As At Because Being But By Can Did Do Does Each Finally For From Has Have He Her Here \
        His How However I If In Is It Its Last Let Many More Most Moreover My New No Not Now On Once One Only Or \
        Other Our Perhaps She Since So Some Such That The Their Then There Therefore These They This Those Though \
        Thus To Today Two Was We Were What When Where Whether Which While Who Why Will With Would Yes Yet You Your
        """)
}
