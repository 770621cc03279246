import Protocol
import Testing

@testable import Supervisor

@Suite struct CacheTableTests {
    @Test func showsWhatIsUsedOfWhatIsAllowed() {
        let caches: JSONValue = [
            "embedding": [
                "entries": 25_000, "bytes": 33_554_432, "max_entries": 100_000, "max_bytes": 134_217_728,
                "hits": 9000, "misses": 1000, "file": "/var/\u{1b}e",
            ],
            "response": [
                "entries": 12, "bytes": 1_048_576, "max_entries": 10_000, "max_bytes": 67_108_864,
                "hits": 5, "stale_hits": 1, "misses": 3, "coalesced": 3,
            ],
        ]
        #expect(
            CacheTable.text(caches.objectValue ?? []) == #"""
                                                EMBEDDING                    RESPONSE
                entries           25000 of 100000, 25.0 %          12 of 10000, 0.1 %
                bytes       32.0 MiB of 128.0 MiB, 25.0 %  1.0 MiB of 64.0 MiB, 1.6 %
                hit ratio                          90.0 %                      50.0 %
                hits                                 9000                           5
                misses                               1000                           3
                file                           /var/\x1be                           -
                stale hits                              -                           1
                coalesced                               -                           3

                """#)
    }

    @Test func takesFiguresThatItDoesNotKnow() {
        let caches: JSONValue = ["new": ["depth": 3, "max_entries": 5], "other": [:]]
        #expect(
            CacheTable.text(caches.objectValue ?? []) == """
                             NEW  OTHER
                depth          3      -
                max entries    5      -
                hit ratio      -      -

                """)
    }

    @Test func countsWhatWasCleared() {
        let result: JSONValue = [
            "cleared": ["embedding": 0, "response": 1, "pipeline": 20], "unanswered": ["worker_1_a"],
            "nothing": [],
        ]
        #expect(
            CacheTable.clearedText(result) == """
                embedding: 0 entries cleared
                response: 1 entry cleared
                pipeline: 20 entries cleared
                unanswered: ["worker_1_a"]

                """)
    }
}
