import Glibc
import Testing

@testable import Supervisor

@Suite struct UnixListenerTests {
    /// A path in a directory of its own, gone afterwards.
    private static func withPath(_ body: (String) throws -> Void) throws {
        var template = Array("/tmp/listener-XXXXXX\0".utf8CString)
        let made = mkdtemp(&template).map { String(cString: $0) }
        let directory = try #require(made)
        defer {
            unlink("\(directory)/s")
            unlink("\(directory)/s.lock")
            rmdir(directory)
        }
        try body("\(directory)/s")
    }

    private static func mode(_ path: String) -> UInt32? {
        var info = stat()
        return lstat(path, &info) == 0 ? info.st_mode : nil
    }

    @Test func makesTheSocketWithItsModeAndRemovesItAtTheEnd() throws {
        try Self.withPath { path in
            let listener = try UnixListener.open(.init(mode: 0o660), path: path)
            #expect(Self.mode(path).map { $0 & 0o777 } == 0o660)
            #expect(UnixSocket.owner(of: path)?.pid == getpid())
            listener.close()
            #expect(Self.mode(path) == nil)
            #expect(Self.mode("\(path).lock") == nil)
        }
    }

    @Test func refusesASocketThatIsInUseWithThePidOfItsOwner() throws {
        try Self.withPath { path in
            let listener = try UnixListener.open(.init(), path: path)
            #expect {
                _ = try UnixListener.open(.init(), path: path)
            } throws: {
                "\($0)".contains("pid \(getpid())")
            }
            listener.close()
        }
    }

    @Test func leavesAFileAloneThatIsNoSocket() throws {
        try Self.withPath { path in
            close(creat(path, 0o600))
            #expect(throws: UnixListener.Refusal.self) { _ = try UnixListener.open(.init(), path: path) }
            #expect(Self.mode(path).map { $0 & S_IFMT } == S_IFREG)
        }
    }

    @Test func replacesAStaleSocket() throws {
        try Self.withPath { path in
            let stale = try UnixSocket.make()
            _ = UnixSocket.withAddress(path) { bind(stale.raw, $0, $1) }
            stale.close()
            let listener = try UnixListener.open(.init(), path: path)
            #expect(UnixSocket.owner(of: path) != nil)
            listener.close()
        }
    }

    @Test func refusesAPathThatFitsIntoNoAddress() {
        let path = "/tmp/" + String(repeating: "x", count: 103)
        #expect(throws: UnixListener.Refusal.self) { _ = try UnixListener.open(.init(), path: path) }
    }
}
