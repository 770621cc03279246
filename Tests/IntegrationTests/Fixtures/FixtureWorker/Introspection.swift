import Glibc
import Protocol

/// What this process was born with.
enum Introspection {
    static func result(words: [String]) -> JSONValue {
        let status = self.statusFields()
        return .object([
            .init("pid", .integer(getpid())),
            .init("group", .integer(getpgid(0))),
            .init("directory", .string(self.currentDirectory)),
            .init("words", .array(words.map { .string($0) })),
            .init("environment", .object(self.environment())),
            .init("descriptors", .object(self.descriptors())),
            .init("blocked", .string(status["SigBlk"])),
            .init("ignored", .string(status["SigIgn"])),
        ])
    }

    private static var currentDirectory: String? {
        guard let path = getcwd(nil, 0) else { return nil }
        defer { free(path) }
        return String(cString: path)
    }

    private static func statusFields() -> [String: String] {
        guard let file = fopen("/proc/self/status", "r") else { return [:] }
        defer { fclose(file) }
        var fields: [String: String] = [:]
        var line = [CChar](repeating: 0, count: 4096)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let parts = text.split(whereSeparator: { ":\t\n".contains($0) })
            if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
        }
        return fields
    }

    private static func environment() -> [JSONValue.Member] {
        var members: [JSONValue.Member] = []
        var next = environ
        while let entry = next.pointee {
            let parts = String(cString: entry).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { members.append(.init(String(parts[0]), .string(String(parts[1])))) }
            next += 1
        }
        return members
    }

    private static func descriptors() -> [JSONValue.Member] {
        (0..<256).compactMap { number in
            let buffer = UnsafeMutablePointer<CChar>.allocate(capacity: 4096)
            defer { buffer.deallocate() }
            let count = readlink("/proc/self/fd/\(number)", buffer, 4096)
            guard count > 0 else { return nil }
            return .init(
                "\(number)",
                .string(String(decoding: UnsafeRawBufferPointer(start: buffer, count: count), as: UTF8.self)))
        }
    }
}
