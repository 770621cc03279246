/// The documents that a search may find.
struct DocumentSelection {
    /// nil: all of them.
    private var isSelected: [Bool]?

    static let all = DocumentSelection(isSelected: nil)

    private init(isSelected: [Bool]?) { self.isSelected = isSelected }

    /// The documents that a filter lets through.
    ///
    /// - Complexity: O(documents); their metadata are parsed when the filter asks for them.
    init(_ filter: MetadataFilter?, in index: SearchIndex) throws(IndexError) {
        guard let filter else {
            self = .all
            return
        }
        let names = filter.fieldNames
        var isSelected: [Bool] = []
        isSelected.reserveCapacity(index.documents.count)
        for number in 0..<index.documents.count {
            let document = try index.documents.record(at: number)
            isSelected.append(filter.matches(try DocumentFields(names, of: document, in: index)))
        }
        self.isSelected = isSelected
    }

    func contains(chunk: Int, of index: SearchIndex) throws(IndexError) -> Bool {
        guard let isSelected = self.isSelected else { return true }
        let document = Int(try index.chunks.record(at: chunk).document)
        guard document < isSelected.count else { throw index.documents.outOfBounds(document) }
        return isSelected[document]
    }
}
