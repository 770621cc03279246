#!/bin/sh
# Fuzzes the protocol with libFuzzer and AddressSanitizer.
#
#   Tests/Fuzz/run.sh [SECONDS [CORPUS…]]     30 seconds without a number
#
# New inputs go to .build/fuzz/corpus; a failing one is written to .build/fuzz/crash-… and its path printed.
# CORPUS: directories with further examples, such as test_parsing of the JSON test suite.
set -eu
seconds=${1:-30}
[ $# -gt 0 ] && shift
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/.build/fuzz
mkdir -p "$out/corpus"
# Not a package target: libFuzzer brings its own main.
find "$root/Sources/Protocol" -name '*.swift' -print0 | xargs -0 swiftc \
    -swift-version 6 -O -parse-as-library -use-ld=lld -sanitize=fuzzer,address -D LIBFUZZER \
    -enable-upcoming-feature ExistentialAny -enable-upcoming-feature MemberImportVisibility \
    "$root/Tests/ProtocolTests/Fuzzing/ProtocolInvariants.swift" "$root/Tests/Fuzz/ProtocolFuzzer.swift" \
    -module-name ProtocolFuzzer -o "$out/protocol-fuzzer"
printf 'x%s\n' '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":[1]},"metadata":{"request_id":"r"}}' \
    > "$out/corpus/request"
printf 'xContent-Length: 2\r\n\r\n{}' > "$out/corpus/content-length"
printf 'x%s\n' '{"jsonrpc":"2.0","id":1,"result":{"a":1}}' > "$out/corpus/result"
printf "x%s\n" "{pools: [{name: 'a', size: 0x2, /* c */ t: .5,},],} // end" > "$out/corpus/json5"
exec "$out/protocol-fuzzer" -max_total_time="$seconds" -max_len=4096 -artifact_prefix="$out/" \
    -print_final_stats=1 "$out/corpus" "$@"
