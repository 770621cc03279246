import Protocol

/// A batch whose calls are under way: their answers are collected and sent as one array.
struct Batch {
    let connection: ConnectionToken
    /// Calls that are not answered yet, and one more while the batch is still being taken in.
    var open: Int
    /// The answers so far, with commas between them.
    var answers: [UInt8] = []

    /// - Returns: how many bytes it added.
    mutating func append(_ answer: AnswerMessage) -> Int {
        let before = self.answers.count
        if before > 0 { self.answers.append(UInt8(ascii: ",")) }
        self.answers.append(answer)
        return self.answers.count - before
    }
}
