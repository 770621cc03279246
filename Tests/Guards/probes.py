"""What counts the costs of calls: each starts a supervisor under what it needs, and is left when that has ended."""
import mmap
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import callgrind_profile
import stacks
from client import Client
from measured import FIXED, MeasuredSupervisor

HERE = Path(__file__).resolve().parent


class Unavailable(Exception):
    """A tool that is needed is not installed."""


class Load(NamedTuple):
    """Connections, the calls that are open on each, and the calls in a window of the measurement."""

    connections: int
    depth: int
    calls: int


class SharedWords:
    """A file of 64-bit words that a library in the supervisor has mapped as well."""

    def __init__(self, path: Path, count: int) -> None:
        with path.open("w+b") as file:
            file.truncate(8 * count)
            self.memory = mmap.mmap(file.fileno(), 8 * count)

    def __getitem__(self, index: int) -> int:
        return struct.unpack_from("Q", self.memory, 8 * index)[0]

    def __setitem__(self, index: int, value: int) -> None:
        struct.pack_into("Q", self.memory, 8 * index, value)


class Probe:
    """What the kinds of costs have in common."""

    tool = None
    workers = 2

    def __init__(self, program: Path, build: Path) -> None:
        if self.tool and not shutil.which(self.tool):
            raise Unavailable(self.tool)
        self.program, self.build = program, build
        self.temporary = tempfile.TemporaryDirectory(prefix="supervisor-guards-")
        self.directory = Path(self.temporary.name)
        self.supervisor = self.start()

    def __enter__(self) -> "Probe":
        try:
            self.supervisor.__enter__()
        except BaseException:
            self.temporary.cleanup()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.__exit__()
        self.temporary.cleanup()

    def preloaded(self, *names: str) -> dict:
        """Compiles libraries, and says in the environment that they are to be loaded first."""
        libraries = [self.build / f"{name}.so" for name in names]
        options = ["-std=c17", "-O2", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
        for name, library in zip(names, libraries):
            subprocess.run(["clang", *options, HERE / f"{name}.c", "-o", library], check=True)
        return {"LD_PRELOAD": ":".join(map(str, libraries))}

    def cost(self, client: Client, line: bytes, load: Load) -> float:
        """Of a call, once all is warm."""
        client.run(line, 2_000, load.depth)
        return self.window(client, line, load) / load.calls


class Allocations(Probe):
    """Counted by a malloc of ours."""

    ALLOCATIONS, SAMPLING, SAMPLED, FIRST_STACK = 0, 1, 2, 3
    SAMPLES, FRAMES = 64, 12

    def start(self) -> MeasuredSupervisor:
        path = self.directory / "allocations"
        self.counts = SharedWords(path, self.FIRST_STACK + self.SAMPLES * self.FRAMES)
        environment = {"ALLOCATION_COUNTS": str(path)} | self.preloaded("clock", "allocations")
        return MeasuredSupervisor(self.program, self.directory, [], environment, self.workers)

    def window(self, client: Client, line: bytes, load: Load) -> int:
        before = self.counts[self.ALLOCATIONS]
        client.run(line, load.calls, load.depth)
        return self.counts[self.ALLOCATIONS] - before

    def explanation(self, client: Client, line: bytes, load: Load) -> str:
        """Where they are made."""
        self.counts[self.SAMPLED], self.counts[self.SAMPLING] = 0, 1
        client.run(line, load.calls, load.depth)
        self.counts[self.SAMPLING] = 0
        samples = []
        for sample in range(min(self.counts[self.SAMPLED], self.SAMPLES)):
            first = self.FIRST_STACK + sample * self.FRAMES
            words = [self.counts[first + frame] for frame in range(self.FRAMES)]
            samples.append([word for word in words[1:] if word])  # the first is the counter's own
        return stacks.report(self.supervisor.pid, samples)


class SystemCalls(Probe):
    """Counted by strace, in the supervisor only."""

    tool = "strace"

    def start(self) -> MeasuredSupervisor:
        self.trace = self.directory / "trace"
        under = ["strace", "-o", self.trace]
        return MeasuredSupervisor(self.program, self.directory, under, self.preloaded("clock"), self.workers)

    def window(self, client: Client, line: bytes, load: Load) -> int:
        self.offset = self.trace.stat().st_size
        client.run(line, load.calls, load.depth)
        return sum(self.names().values())

    def names(self) -> Counter:
        """The system calls since the last window began."""
        with self.trace.open() as file:
            file.seek(self.offset)
            return Counter(match[1] for match in map(re.compile(r"(\w+)\(").match, file) if match)

    def explanation(self, _: Client, __: bytes, load: Load) -> str:
        each = [f"{count / load.calls:.2f} {name}" for name, count in self.names().most_common()]
        return f"    {', '.join(each)}"


class Instructions(Probe):
    """Counted by callgrind: all that the process executes outside the kernel."""

    ASKED, DONE = 0, 1
    ZERO, DUMP = 1, 2
    tool = "valgrind"

    def start(self) -> MeasuredSupervisor:
        path = self.directory / "control"
        self.control = SharedWords(path, 2)
        self.dumps = 0
        environment = {"CALLGRIND_CONTROL": str(path)} | self.preloaded("clock", "callgrind")
        for old in self.build.glob("profile.*"):
            old.unlink()
        # Not in the directory that is removed: the guardian writes one of its own at its end.
        output = f"--callgrind-out-file={self.build}/profile.%p"
        under = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--vgdb=no", output]
        return MeasuredSupervisor(self.program, self.directory, under, environment, self.workers)

    def window(self, client: Client, line: bytes, load: Load) -> int:
        # Obeyed when the first call wakes the loop.
        self.ask(self.ZERO)
        client.run(line, load.calls, load.depth)
        asked = self.ask(self.DUMP)
        client.call("ping")
        deadline = time.monotonic() + 30
        while self.control[self.DONE] != asked:
            if time.monotonic() > deadline:
                raise TimeoutError("callgrind does not answer")
            time.sleep(0.001)
        self.dumps += 1
        text = self.profile.read_text(errors="replace")
        return int(re.search(r"^totals: (\d+)", text, re.MULTILINE)[1])

    @property
    def profile(self) -> Path:
        return self.build / f"profile.{self.supervisor.pid}.{self.dumps}"

    def ask(self, command: int) -> int:
        asked = ((self.control[self.ASKED] >> 32) + 1) << 32 | command
        self.control[self.ASKED] = asked
        return asked

    def explanation(self, _: Client, __: bytes, load: Load) -> str:
        """Where they are spent."""
        return callgrind_profile.report(self.profile, load.calls, 12)


class InstructionsOfMany(Instructions):
    """With so many workers that a look at each would show."""

    workers = 64


class WorkerInstructions:
    """Counted by callgrind in our own worker, which stands beside the supervisor: what more calls in one file cost than
    fewer, so that its start, and what the first call makes, do not count."""

    FEW, MORE = 100, 600

    def __init__(self, program: Path, build: Path) -> None:
        if not shutil.which("valgrind"):
            raise Unavailable("valgrind")
        self.worker, self.build = program.with_name("worker"), build

    def __enter__(self) -> "WorkerInstructions":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cost(self, line: bytes) -> float:
        return (self.run(line, self.MORE) - self.run(line, self.FEW)) / (self.MORE - self.FEW)

    def run(self, line: bytes, calls: int) -> int:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.profile(calls)}", self.worker]
        done = subprocess.run(
            command, input=line * calls, capture_output=True, env=os.environ | FIXED, timeout=60, check=True)
        if done.stdout.count(b',"result":') != calls:
            raise ValueError(f"not every answer is a result: {done.stdout[:200]!r}")
        return int(re.search(r"^totals: (\d+)", self.profile(calls).read_text(errors="replace"), re.MULTILINE)[1])

    def profile(self, calls: int) -> Path:
        return self.build / f"worker-profile.{calls}"

    def explanation(self) -> str:
        """Where they are spent, the start among them."""
        return callgrind_profile.report(self.profile(self.MORE), self.MORE, 12)
