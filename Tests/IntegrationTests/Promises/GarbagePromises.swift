import Glibc
import Protocol
import Testing

@testable import Supervisor

extension IntegrationTests.Promises {
    /// Whatever bytes come, from clients or workers: nothing ends, nothing grows, the next good call is answered.
    @Suite struct Garbage {
        /// Lines that are no good call. None names a method that a worker would take.
        private static let seeds: [[UInt8]] =
            [
                #"{"jsonrpc":"2.0","id":1,"method":"gar"#,
                #"{"jsonrpc":"2.0","id":1,"method":"garbage","params":[NaN]}"#,
                #"{"jsonrpc":"2.0","id":1,"method":"garbage"}"# + "\r", "\u{FEFF}{}", "\u{0}", "nul",
                "[[[]]]",
                #"[{"jsonrpc":"2.0","id":1,"method":"ping"},1,[],{}]"#,
                #"[[{"jsonrpc":"2.0","id":1,"method":"ping"}]]"#,
                #"{"jsonrpc":"2.0","id":1,"id":2,"method":"garbage"}"#,
                #"{"jsonrpc":"2.0","id":1e400,"method":"ping"}"#,
                #"{"jsonrpc":"2.0","id":"\ud800","method":"ping","params":{"a":1,"a":2}}"#,
                #"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":[]}}"#,
                #"{"metadata":{"timeout_ms":-1}}"#,
            ].map { Array($0.utf8) } + [
                [0xFF, 0xFE, 0xC3, 0x28], [UInt8](repeating: UInt8(ascii: "["), count: 100_000),
                Array(String(repeating: #"{"a":"#, count: 30_000).utf8),
            ]

        /// One of the seeds, with some of its bytes changed, cut or repeated; it holds no line break.
        private static func line(_ random: inout SeededGenerator) -> [UInt8] {
            var bytes = self.seeds.randomElement(using: &random) ?? []
            if bytes.count > 5000, Int.random(in: 0..<10, using: &random) > 0 {
                bytes = Array(bytes.prefix(200))
            }
            for _ in 0..<Int.random(in: 0...3, using: &random) where !bytes.isEmpty {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: place)
                case 2: bytes.insert(contentsOf: bytes[place...].prefix(8), at: place)
                default: bytes = Array(bytes[..<place])
                }
            }
            return bytes.map { $0 == 0x0A ? 0x20 : $0 }
        }

        @Test("P8: garbage from clients kills nothing, and nothing of it reaches a worker")
        func fromClients() throws {
            let supervisor = try SupervisorProcess(fixture: ["--log", "DIR/received"], language: .swift)
            let client = try supervisor.client()
            let memory = Processes.residentKilobytes(of: supervisor.pid)
            var random = SeededGenerator(seed: 8)
            let watch = Stopwatch()
            var lines = 0
            while watch.seconds < Figures.scaled(2, long: 60) {
                let line = Self.line(&random)
                lines += 1
                // A first byte C would change the framing of the connection; that is tested elsewhere.
                if line.first == UInt8(ascii: "C") { continue }
                try client.send(line)
                try client.send(
                    #"{"jsonrpc":"2.0","id":"good \#(lines)","method":"echo","params":[\#(lines)]}"#)
                // Not parsed: an id that came in a line of garbage comes back as it was, such as 1e400.
                let wanted = #"{"jsonrpc":"2.0","id":"good \#(lines)","result":[\#(lines)]}"#
                while try client.receiveText() != wanted {}
            }
            let growth = Processes.residentKilobytes(of: supervisor.pid) - memory
            let strange = Files.lines(supervisor.directory.file("received")).filter {
                guard let method = (try? JSONValue(parsing: $0))?["method"]?.stringValue else { return true }
                return method.isEmpty
            }
            #expect(strange == [], "a worker gets well-formed calls only")
            #expect(growth < 30_000)
            Figures.row(
                "P8", "lines of garbage on one connection, each followed by a good call: answered, growth",
                measured: "\(lines) of \(lines), \(growth / 1024) MB", promised: "all, bounded")
        }

        @Test("P8: a line without end is skipped, not kept", arguments: [true, false])
        func endlessLine(fromWorker: Bool) throws {
            let supervisor = try SupervisorProcess(workers: 2, language: .swift)
            let client = try supervisor.client()
            let memory = Processes.residentKilobytes(of: supervisor.pid)
            let mebibytes = Figures.scaled(64, long: 1024)
            var highest = memory
            if fromWorker {
                let hex = String(repeating: "78", count: 65_536)
                try client.start("spill", #"{"hex":"\#(hex)","count":\#(mebibytes * 16)}"#)
                while !client.socket.wait(for: .milliseconds(50)) {
                    highest = max(highest, Processes.residentKilobytes(of: supervisor.pid))
                }
                let answer = try client.receiveJSON(within: 60)
                #expect(answer["result"] == "spilt" || answer.errorCode == 2001, "it may be recycled for it")
            } else {
                let chunk = [UInt8](repeating: UInt8(ascii: "x"), count: 1 << 20)
                for _ in 0..<mebibytes {
                    try client.sendBytes(chunk)
                    highest = max(highest, Processes.residentKilobytes(of: supervisor.pid))
                }
                try client.sendBytes([0x0A])
                let answer = try client.receiveJSON()
                #expect(answer.errorCode == -32600)
            }
            #expect(try client.call("echo", "[1]")["result"] == [1])
            #expect(highest - memory < 40_000)
            Figures.row(
                "P8", "a line of \(mebibytes) MiB from a \(fromWorker ? "worker" : "client"): growth",
                measured: "\((highest - memory) / 1024) MB", promised: "bounded")
        }

        @Test("P8: garbage from a worker kills nothing", arguments: FixtureLanguage.available)
        func fromWorkers(language: FixtureLanguage) throws {
            // Not recycled for the noise: this is about reading it.
            let supervisor = try SupervisorProcess(
                language: language, settings: "health: { noise_lines: 1000000, noise_bytes: \"1GiB\" }")
            let client = try supervisor.client()
            var random = SeededGenerator(seed: 9)
            let watch = Stopwatch()
            var lines = 0
            while watch.seconds < Figures.scaled(1, long: 30) {
                let hex = Self.line(&random).prefix(2000).map { byte in
                    let text = String(byte, radix: 16)
                    return text.utf8.count == 1 ? "0\(text)" : text
                }.joined()
                lines += 1
                #expect(try client.call("spill", #"{"hex":"\#(hex)"}"#)["result"] == "spilt")
                #expect(try client.call("echo", "[\(lines)]")["result"] == [.integer(lines)])
            }
            #expect(try supervisor.worker()["restarts"] == 0)
            #expect(supervisor.process.isRunning)
            Figures.row(
                "P8",
                "lines of garbage from a worker (\(language.rawValue)), each followed by a good call: answered",
                measured: "\(lines) of \(lines)", promised: "all")
        }

        // MARK: Noise

        @Test("P9: noise on stdout is survived and counted", arguments: FixtureLanguage.available)
        func noise(language: FixtureLanguage) throws {
            let supervisor = try SupervisorProcess(
                fixture: ["--banner", "3", "--noise", "2"], language: language)
            let client = try supervisor.client()
            for index in 0..<20 {
                #expect(try client.call("echo", "[\(index)]")["result"] == [.integer(index)])
            }
            let worker = try supervisor.worker()
            #expect(worker["noise_lines"] == 43)
            #expect(worker["restarts"] == 0)
            let lines = supervisor.records("worker.noise").map { $0["line"]?.stringValue ?? "" }
            #expect(lines.contains { $0.contains("welcome to the fixture") })
            Figures.row(
                "P9",
                "banner and warnings between replies (\(language.rawValue)): calls answered, lines counted",
                measured: "20 of 20, 43 of 43", promised: "all, all")
        }

        @Test(
            "P9: a flood on stdout recycles the worker", arguments: FixtureLanguage.available,
            [#"{"lines":300}"#, #"{"lines":3,"bytes":1000000}"#])
        func flood(language: FixtureLanguage, flood: String) throws {
            let supervisor = try SupervisorProcess(workers: 2, language: language)
            let client = try supervisor.client()
            #expect(try client.call("noise", flood)["result"] == "noisy", "the call itself is answered")
            let watch = Stopwatch()
            try eventually("one was recycled") {
                let workers = try supervisor.status()[path: "pools.0.workers"].arrayValue ?? []
                return workers.contains { $0[path: "last_exit.reason"] == "stdout_noise" }
            }
            #expect(watch.seconds < 6)
            #expect(try client.call("echo", "[1]")["result"] == [1])
        }
    }
}
