"""What is measured, in which order. Every figure comes with the others of its round: what is compared is
measured in turn, so that a busy minute of the machine hits all of it.

Each function returns plain lists and dictionaries, for results.json. A round that failed is None there.
"""
import json
import os
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import servers
from servers import Unavailable

LOADS = {"1x1": (1, 1), "8x1": (8, 1), "64x1": (64, 1), "1x32": (1, 32), "8x32": (8, 32)}
STREAM_LOADS = ("1x1", "8x1", "8x32")
STRATEGIES = ("round_robin", "least_load", "performance_based")
STREAM_CHUNKS = 16
MEBIBYTE = 1 << 20


class Run:
    """One run of all measurements: its programs, its length, and what failed."""

    def __init__(self, binary, programs, directory, seconds, rounds):
        self.binary = binary
        self.programs = programs
        self.directory = directory
        self.seconds = seconds
        self.rounds = rounds
        self.notes = []
        self.answers = 0
        self.failures = {}

    def note(self, text):
        print(f"! {text}", flush=True)
        self.notes.append(text.split("\n")[0])

    def say(self, text):
        print(text, flush=True)

    def load(self, server, **options):
        """One closed loop against a server; None when it failed. What it answered wrongly is counted."""
        options = {"seconds": self.seconds, "warmup": min(0.3, self.seconds / 2), "raw": server.raw, **options}
        command = [self.programs["load"], server.address, *(f"{name}={value}" for name, value in options.items())]
        try:
            done = subprocess.run(command, text=True, capture_output=True, timeout=60)
            figures = json.loads(done.stdout) if done.returncode == 0 else None
        except subprocess.TimeoutExpired:
            done = figures = None
        if figures is None:
            self.note(f"{server.name}: a round failed: {done.stderr.strip() if done else 'no end after 60 s'}")
            return None
        wrong = figures["errors"] + figures["unanswered"] + figures["strays"]
        self.answers += figures["results"]
        if wrong:
            self.failures[server.name] = self.failures.get(server.name, 0) + wrong
        if not figures["results"]:
            self.note(f"{server.name}: a round failed: no call was answered with a result")
            return None
        return figures

    def supervisor(self, name, worker=(), **options):
        return servers.supervisor(
            self.binary, self.directory, name, [self.programs["echo_worker"], *worker], **options)


# MARK: Throughput


def subjects(run):
    """All that speak JSON lines, idle until their turn."""
    worker = [run.programs["echo_worker"]]
    found = [
        servers.floor(run.programs, run.directory),
        servers.floor(run.programs, run.directory, "floor with JSON workers", worker),
        run.supervisor("supervisor"),
    ]
    for strategy in STRATEGIES[1:]:
        found.append(run.supervisor(f"supervisor {strategy}", strategy=strategy))
    found.append(run.supervisor("cache hits", ["rag.execute"]))
    try:
        found.append(servers.bridge(run.programs, run.directory))
    except Unavailable as missing:
        run.note(str(missing))
    return found


def throughput(run):
    """{load: {subject: {per_second, p50_us, p99_us: [a figure a round]}}}, and the same of streams."""
    calls = {load: {} for load in LOADS}
    streams = {load: {} for load in STREAM_LOADS}
    with ExitStack() as stack:
        started = [stack.enter_context(server) for server in subjects(run)]
        for round_number in range(run.rounds):
            run.say(f"round {round_number + 1} of {run.rounds}")
            for load in LOADS:
                for server in turned(started, round_number):
                    keep(calls[load], server.name, measure(run, server, load))
            for load in STREAM_LOADS:
                for server in turned(started, round_number):
                    if server.name in ("supervisor", "Node bridge"):
                        figures = measure(run, server, load, method="rag.stream")
                        if figures:
                            figures["messages"] = (figures["chunks"] / run.seconds) + figures["per_second"]
                        keep(streams[load], server.name, figures, ("per_second", "messages", "p50_us"))
    return calls, streams


def turned(items, by):
    """The order of a round: others go first, and nobody is always behind the same other."""
    start = by % len(items)
    order = items[start:] + items[:start]
    return order[::-1] if by % 2 else order


def measure(run, server, load, **options):
    connections, depth = LOADS[load]
    return run.load(server, connections=connections, depth=depth, **options)


def keep(table, name, figures, names=("per_second", "p50_us", "p99_us", "client")):
    entry = table.setdefault(name, {})
    for key in names:
        entry.setdefault(key, []).append(None if figures is None else round(figures[key], 3))


def peers(run, names):
    """{peer: {supervisor: [...], peer: [...]}} at 8 connections: each peer in turn with the supervisor.

    Ray does much on its own; a peer that is not measured stands still.
    """
    found = {}
    with run.supervisor("supervisor beside peers") as ours:
        for name in names:
            try:
                with servers.peer(name, run.directory) as peer:
                    run.say(f"{name}, in turn with the supervisor")
                    entry = found.setdefault(name, {})
                    for _ in range(run.rounds):
                        with peer.standing_still():
                            keep(entry, "supervisor", measure(run, ours, "8x1"))
                        keep(entry, "peer", measure(run, peer, "8x1", path=peer.path))
            except Unavailable as missing:
                run.note(str(missing))
    return found


def large(run):
    """Calls per second with 1 MiB in the request and in the result, one at a time: {subject: [...]}."""
    found = {}
    with ExitStack() as stack:
        started = [
            stack.enter_context(server)
            for server in (servers.floor(run.programs, run.directory, "floor of 1 MiB"),
                           run.supervisor("supervisor with 1 MiB"))
        ]
        for round_number in range(run.rounds):
            for name, server in zip(("floor", "supervisor"), started):
                keep(found, name, measure(run, server, "1x1", bytes=MEBIBYTE), ("per_second", "p50_us"))
    return found


# MARK: At rest


def tasks(pid):
    return [Path(f"/proc/{pid}/task/{name}") for name in os.listdir(f"/proc/{pid}/task")]


def wakeups(pid):
    lines = "\n".join((task / "status").read_text() for task in tasks(pid)).splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def processor_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks(pid)) / 1e9


def resident_kib(pid):
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def guardian(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next((int(child) for child in children
                 if Path(f"/proc/{child}/comm").read_text().strip() == "sv-guardian"), None)


def at_rest(run, binary, seconds):
    """Wake-ups, processor time and memory of a supervisor with two workers that nobody calls."""
    with servers.supervisor(binary, run.directory, "idle", [run.programs["echo_worker"]]) as server:
        time.sleep(1)
        pids = {"supervisor": server.process.pid, "guardian": guardian(server.process.pid)}
        pids = {name: pid for name, pid in pids.items() if pid}
        before = {name: (wakeups(pid), processor_seconds(pid)) for name, pid in pids.items()}
        time.sleep(seconds)
        found = {"seconds": seconds}
        for name, pid in pids.items():
            found[name] = {
                "wakeups": wakeups(pid) - before[name][0],
                "processor_us": round((processor_seconds(pid) - before[name][1]) * 1e6),
                "resident_kib": resident_kib(pid),
            }
        run.load(server, connections=64)
        found["supervisor"]["resident_kib_after_load"] = resident_kib(pids["supervisor"])
        return found


def starts(run, binary, count):
    """Milliseconds from the start of the process to the first answer of a worker."""
    found = []
    for _ in range(count):
        server = servers.supervisor(binary, run.directory, "start", [run.programs["echo_worker"]])
        began = time.monotonic()
        server.spawn()
        try:
            while not server.answers():
                if time.monotonic() - began > 10:
                    raise Unavailable(f"no answer 10 s after the start:\n{server.log_tail()}")
                time.sleep(0.0002)
            found.append(round((time.monotonic() - began) * 1000, 2))
        finally:
            server.stop()
    return found


# MARK: As numbers grow


def cost(run, server, connections, **options):
    """Processor time of the supervisor (or of the floor) for a call, in microseconds, beside the client's figures."""
    before = processor_seconds(server.process.pid)
    figures = run.load(server, connections=connections, warmup=0, **options)
    if figures is None:
        return None
    spent = processor_seconds(server.process.pid) - before
    return dict(figures, cost_us=spent / figures["results"] * 1e6)


def scale(run):
    """{what grows: {how many: {per_second, p50_us, cost_us: [a figure a round]}}}"""
    limits = {"connections": 4096, "in_flight_per_connection": 1000, "bytes_in_all": "1GiB"}
    workers, floor = growing_workers(run)
    return {
        "connections": growing_connections(run, limits),
        "workers": workers,
        "floor_workers": floor,
        "queued": growing_queue(run, limits),
    }


FIGURES = ("per_second", "p50_us", "cost_us")


def growing_connections(run, limits):
    table = {}
    with run.supervisor("connections", limits=limits) as server:
        for _ in range(run.rounds):
            for connections, idle in ((8, 0), (200, 0), (200, 1000)):
                name = f"{connections} active" + (f", {idle} idle" if idle else "")
                keep(table, name, cost(run, server, connections, idle=idle), FIGURES)
    return table


def growing_workers(run):
    """The supervisor's table, and the floor's: with 64 workers, each gets a message a write from both."""
    tables = {"supervisor": {}, "floor": {}}
    with ExitStack() as stack:
        started = []
        for workers in (2, 8, 64):
            floor = servers.floor(run.programs, run.directory, f"floor of {workers}", workers=workers)
            ours = run.supervisor(f"{workers} workers", workers=workers)
            started += [("floor", workers, stack.enter_context(floor))]
            started += [("supervisor", workers, stack.enter_context(ours))]
        for round_number in range(run.rounds):
            for name, workers, server in turned(started, round_number):
                keep(tables[name], f"{workers}", cost(run, server, 64), FIGURES)
    return tables["supervisor"], tables["floor"]


def growing_queue(run, limits):
    """Calls to one pool while others, each with its deadline, wait for another pool's one busy worker."""
    worker = run.programs["echo_worker"]
    pools = [
        {"name": "held", "command": [worker], "min_workers": 1, "max_concurrency": 1, "methods": ["hold"]},
        {"name": "default", "command": [worker], "min_workers": 2},
    ]
    table = {}
    with run.supervisor(
            "queued", pools=pools, limits=limits, timeouts={"default": "10m"},
            load_balancer={"queue_size": 1000000, "queue_timeout": "0s"}) as server:
        for _ in range(run.rounds):
            for queued in (0, 1000, 10000, 100000):
                with holding(run, server, queued):
                    keep(table, f"{queued:,}", cost(run, server, 8), FIGURES)
    return table


class holding:
    """So many calls that wait, of 200 connections at most, as long as this is open."""

    def __init__(self, run, server, count):
        self.run, self.server, self.count = run, server, count
        self.client = None

    def __enter__(self):
        if not self.count:
            return
        connections = min(200, self.count // 100)
        self.client = subprocess.Popen(
            [self.run.programs["load"], self.server.address, "hold=1", "method=hold",
             f"connections={connections}", f"depth={self.count // connections}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wait_until(lambda depth: depth >= self.count - 1)

    def __exit__(self, *_):
        if not self.client:
            return
        self.client.communicate(timeout=30)
        self.wait_until(lambda depth: depth == 0)

    def wait_until(self, is_right):
        deadline = time.monotonic() + 30
        while not is_right(self.depth()):
            if time.monotonic() > deadline:
                raise Unavailable(f"the queue has {self.depth()} calls, not {self.count}")
            time.sleep(0.1)

    def depth(self):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.server.address)
            client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"supervisor.status"}\n')
            status = json.loads(client.makefile().readline())["result"]
        return sum(pool["queue_depth"] for pool in status["pools"])
