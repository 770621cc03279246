import Protocol

/// A technique with a configuration of its own, which all workers that offer the technique have been told of.
///
///     pipeline.initialize   → initializing ──all workers took it──► ready ──pipeline.destroy──► gone
///                                  └─one of them did not: the others are told to destroy it──► gone
struct Pipeline {
    /// Pipelines there may be at once.
    static let limit = 256
    /// What a configuration may take, as it was written.
    static let configurationBytes = 64 * 1024

    /// `TECHNIQUE_` and eight hexadecimal digits of the canonical configuration's hash.
    let id: String
    let technique: String
    /// JSON text; empty where there is none.
    let configuration: [UInt8]
    /// What makes two configurations the same.
    let canonical: [UInt8]
    let pools: [Int]
    var isReady = false
    /// Workers that came later and did not take it.
    var failedOn: Set<WorkerToken> = []

    var state: String {
        if !self.isReady { return "initializing" }
        return self.failedOn.isEmpty ? "ready" : "degraded"
    }

    /// The params by which workers are told.
    var params: [UInt8] {
        var output: [UInt8] = []
        MessageWriter.append("{\"pipeline_id\":", to: &output)
        JSONText.append(string: self.id, to: &output)
        MessageWriter.append(",\"technique\":", to: &output)
        JSONText.append(string: self.technique, to: &output)
        if !self.configuration.isEmpty {
            MessageWriter.append(",\"config\":", to: &output)
            self.configuration.withUnsafeBytes { MessageWriter.appendOnOneLine($0, to: &output) }
        }
        output.append(UInt8(ascii: "}"))
        return output
    }

    static func id(technique: String, hash: UInt64) -> String {
        let digits = String(UInt32(truncatingIfNeeded: hash ^ hash >> 32), radix: 16)
        return technique + "_" + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// The technique in what looks like an id: `NAME_` and eight hexadecimal digits.
    static func technique(ofID id: String) -> Substring? {
        let bytes = Array(id.utf8)
        guard bytes.count > 9, bytes[bytes.count - 9] == UInt8(ascii: "_") else { return nil }
        let isHash = bytes.suffix(8).allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        return isHash ? id.dropLast(9) : nil
    }
}
