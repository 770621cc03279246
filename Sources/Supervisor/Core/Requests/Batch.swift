/// A batch whose calls are under way: their answers are collected and sent as one array.
struct Batch {
    let connection: ConnectionToken
    /// Calls that are not answered yet, and one more while the batch is still being taken in.
    var open: Int
    /// The answers so far, with commas between them.
    var answers: [UInt8] = []
}
