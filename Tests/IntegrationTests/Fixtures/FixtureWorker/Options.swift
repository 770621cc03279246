import Glibc

/// How the worker lives, told by its arguments.
struct Options: Sendable {
    var listsModes = false
    var concurrency: Int?
    /// "honour" or "declare"
    var cancel: String?
    var idempotent: [String] = []
    var techniques: [String]?
    var log: String?
    var exit: Int32?
    var stderr: String?
    var isNeverReady = false
    var isUnhealthy = false
    /// Seconds.
    var readyAfter = 0.0
    var banner = 0
    var noise = 0
    var ignoresTerminate = false
    var ignoresEnd = false
    /// "plain" or "setsid", one for each.
    var grandchildren: [String] = []
    var pids: String?
    var orders: String?
    var words: [String] = []

    private enum Flag: Sendable {
        case plain(@Sendable (inout Options) -> Void)
        /// Takes a value; false when the value makes no sense.
        case valued(@Sendable (inout Options, String) -> Bool)
    }

    private static let flags: [String: Flag] = [
        "--modes": .plain { $0.listsModes = true },
        "--concurrency": .valued {
            $0.concurrency = Int($1); return $0.concurrency != nil
        },
        "--cancel": .valued {
            $0.cancel = $1; return ["honour", "declare"].contains($1)
        },
        "--idempotent": .valued {
            $0.idempotent = Self.list($1); return true
        },
        "--techniques": .valued {
            $0.techniques = Self.list($1); return true
        },
        "--log": .valued {
            $0.log = $1; return true
        },
        "--exit": .valued {
            $0.exit = Int32($1); return $0.exit != nil
        },
        "--stderr": .valued {
            $0.stderr = $1; return true
        },
        "--never-ready": .plain { $0.isNeverReady = true },
        "--unhealthy": .plain { $0.isUnhealthy = true },
        "--ready-after": .valued {
            $0.readyAfter = Double($1) ?? -1; return $0.readyAfter >= 0
        },
        "--banner": .valued {
            $0.banner = Int($1) ?? -1; return $0.banner >= 0
        },
        "--noise": .valued {
            $0.noise = Int($1) ?? -1; return $0.noise >= 0
        },
        "--ignore-terminate": .plain { $0.ignoresTerminate = true },
        "--ignore-end": .plain { $0.ignoresEnd = true },
        "--grandchildren": .valued {
            $0.grandchildren.append($1); return ["plain", "setsid"].contains($1)
        },
        "--pids": .valued {
            $0.pids = $1; return true
        },
        "--orders": .valued {
            $0.orders = $1; return true
        },
    ]

    static var flagNames: [String] { self.flags.keys.sorted() }

    private static func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

    /// nil, with a word on stderr, when an argument is not known or has no good value.
    init?(_ arguments: some Sequence<String>) {
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            switch Self.flags[argument] {
            case .plain(let apply)?: apply(&self)
            case .valued(let apply)?:
                guard let value = rest.popFirst(), apply(&self, value) else {
                    Output.writeErrors("bad value of \(argument)\n")
                    return nil
                }
            case nil:
                guard !argument.hasPrefix("--") else {
                    Output.writeErrors("unknown argument \(argument)\n")
                    return nil
                }
                self.words.append(argument)
            }
        }
    }
}
