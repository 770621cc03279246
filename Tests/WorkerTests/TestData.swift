import Glibc

/// The public data sets beside the package: stemmer vocabulary, segmentation rules, test collections.
///
/// They are not part of the repository; tests that need them are skipped where they are absent.
enum TestData {
    static let directory: String? = {
        // …/Tests/WorkerTests/TestData.swift → the folder that holds the package.
        let parts = #filePath.split(separator: "/").dropLast(4)
        let path = "/" + parts.joined(separator: "/") + "/shared/data"
        return access(path, R_OK) == 0 ? path : nil
    }()

    static let isPresent = directory != nil
    static let absence = "needs ../shared/data beside the package"

    #if DEBUG
        static let isRelease = false
    #else
        static let isRelease = true
    #endif

    static func text(_ path: String) throws -> String {
        let full = (directory ?? "") + "/" + path
        guard let file = fopen(full, "r") else { throw MissingFile(path: full) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(contentsOf: chunk[..<count])
        }
    }

    struct MissingFile: Error { var path: String }
}
