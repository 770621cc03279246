import Glibc

/// The variables of the process's environment; an empty one counts as absent.
struct ProcessEnvironment {
    private let look: (String) -> String?

    init() {
        self.look = { name in getenv(name).map { String(cString: $0) } }
    }

    init(_ variables: [String: String]) {
        self.look = { variables[$0] }
    }

    subscript(_ name: String) -> String? {
        self.look(name).flatMap { $0.isEmpty ? nil : $0 }
    }
}
