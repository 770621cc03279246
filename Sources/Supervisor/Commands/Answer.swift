import Protocol

/// A response, taken apart for a person.
struct Answer {
    let bytes: [UInt8]
    let value: JSONValue

    init(_ bytes: [UInt8]) throws(CommandFailure) {
        self.bytes = bytes
        do throws(JSONError) {
            self.value = try JSONValue(parsing: bytes)
        } catch {
            throw .failed("the supervisor's answer is no JSON: \(error)")
        }
    }

    var result: JSONValue? { self.value["result"] }

    /// The result over several lines, its numbers and strings as they came.
    var indentedResult: String {
        self.bytes.withUnsafeBytes { bytes in
            ParamsReader.value("result", in: bytes).map(JSONIndentation.text) ?? "null"
        }
    }

    /// What is wrong with a configuration that was refused, one line each, with a line break in front.
    var errorList: String {
        let errors = self.value["error"]?["data"]?["errors"]?.arrayValue ?? []
        return errors.map { error in
            func text(_ name: String) -> String {
                Excerpt.escaped(error[name]?.stringValue ?? "", limit: 1000)
            }
            let hint = error["suggestion"] == nil ? "" : "; did you mean \(text("suggestion"))?"
            return "\n  \(text("path")): \(text("message"))\(hint)"
        }.joined()
    }

    /// "Method not found: pong; did you mean ping? (-32601, method_not_found)"; nil for a result.
    var errorSentence: String? {
        guard let error = self.value["error"] else { return nil }
        let message = error["message"]?.stringValue ?? "an error without a message"
        let code = error["code"]?.integerValue.map { "\($0)" } ?? "no code"
        let reason = error["data"]?["reason"]?.stringValue.map { ", \(Excerpt.escaped($0))" } ?? ""
        let hint =
            error["data"]?["suggestion"]?.stringValue.map { "; did you mean \(Excerpt.escaped($0))?" } ?? ""
        return "\(Excerpt.escaped(message, limit: Excerpt.lineBytes))\(hint) (\(code)\(reason))"
    }
}
