"""Guards of speed that need no clock: what a call costs in allocations, system calls and instructions.

    python3 Tests/Guards/guards.py [--supervisor PROGRAM] [--all] [NAME…]

Starts the release build of the supervisor with echo workers, makes calls, and compares what each costs with
thresholds.conf; and the worker beside it by itself. Exits 1 when one costs more, and says where. NAME: only the figures
whose name begins so. Where strace or valgrind is not installed their figures are passed over; with --all that fails.
"""
import argparse
import signal
import sys
from pathlib import Path

from probes import Allocations, Instructions, InstructionsOfMany, Load, Probe, SystemCalls, Unavailable, WorkerInstructions

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROBES = {
    "allocations": Allocations, "system_calls": SystemCalls, "instructions": Instructions,
    "many_workers": InstructionsOfMany, "worker": WorkerInstructions}

PARAMS = ',"params":{"technique":"echo","query":"' + "q" * 32 + '"}'
# The method and what follows it. Whether a method is answered by the cache is the worker's choice (echo_worker.py).
CALLS = {"forwarded": ("rag.execute", PARAMS), "hit": ("cached", PARAMS), "ping": ("ping", "")}
LOADS = {"alone": Load(connections=1, depth=1, calls=1_000), "crowded": Load(connections=8, depth=32, calls=4_000)}


class Threshold:
    """One line of thresholds.conf: `KIND.CALL.LOAD THRESHOLD  # what it is`."""

    def __init__(self, line: str) -> None:
        rule, comment = line.split("#", 1)
        self.comment = comment.strip()
        self.name, threshold = rule.split()
        self.threshold = float(threshold)
        self.kind, self.call, self.load_name = self.name.split(".")

    def judge(self, figure: float) -> bool:
        holds = figure <= self.threshold
        word = "ok    " if holds else "FAILED"
        print(f"{word} {self.name:31} {figure:9.2f}, at most {self.threshold:9.2f} {self.comment}", flush=True)
        return holds


class Guard(Threshold):
    """Of a call to the supervisor."""

    def __init__(self, line: str) -> None:
        super().__init__(line)
        call, load = self.call, self.load_name
        self.method, self.members = CALLS[call]
        self.line = f'{{"jsonrpc":"2.0","id":%d,"method":"{self.method}"{self.members}}}\n'.encode()
        self.is_hit, self.load = call == "hit", LOADS[load]

    def holds(self, probe: Probe) -> bool:
        """Measures, and says what came of it."""
        client = probe.supervisor.client(self.load.connections)
        figure = probe.cost(client, self.line, self.load)
        if self.is_hit:
            answer = client.call(self.method, self.members + ',"metadata":{}')
            assert answer["metadata"]["cache"] == "hit", answer
        holds = self.judge(figure)
        if not holds:
            print(probe.explanation(client, self.line, self.load))
        client.close()
        return holds


class WorkerGuard(Threshold):
    """Of a call to our own worker, by itself; the call's name is its method's, with `_` for the point."""

    def holds(self, probe: WorkerInstructions) -> bool:
        line = f'{{"jsonrpc":"2.0","id":1,"method":"{self.call.replace("_", ".")}"}}\n'.encode()
        figure = probe.cost(line)
        holds = self.judge(figure)
        if not holds:
            print(probe.explanation())
        return holds


def main() -> int:
    parser = argparse.ArgumentParser(description="What a call costs, against thresholds.conf.")
    parser.add_argument("--supervisor", type=Path, default=ROOT / ".build/release/supervisor")
    parser.add_argument("--all", action="store_true", help="fail where a tool is missing")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    # A time limit's SIGTERM leaves nothing running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    lines = (HERE / "thresholds.conf").read_text().splitlines()
    guards = [
        WorkerGuard(line) if line.startswith("worker.") else Guard(line)
        for line in lines if line and not line.startswith("#")]
    if options.names:
        guards = [guard for guard in guards if guard.name.startswith(tuple(options.names))]
    build = ROOT / ".build/guards"
    build.mkdir(parents=True, exist_ok=True)

    passed = True
    for kind, probe_type in PROBES.items():
        own = [guard for guard in guards if guard.kind == kind]
        if not own:
            continue
        try:
            with probe_type(options.supervisor.resolve(), build) as probe:
                results = [guard.holds(probe) for guard in own]
            passed = passed and all(results)
        except Unavailable as tool:
            print(f"{'FAILED' if options.all else 'skipped'}: {kind}: {tool} is not installed")
            passed = passed and not options.all
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
