"""The worker by itself, without a supervisor: what a call costs in it, and how soon it answers."""
import json
import os
import re
import subprocess
import time
from pathlib import Path
from statistics import median

from servers import Unavailable

TECHNIQUES = ("bm25", "basic", "hybrid")


def measure(run, worker, collection):
    """{collection, calls: {call: {cost_us, per_second}}, alone: {technique: {us, retrieval_us, answer_us}}, starts}

    - `collection`: a directory with corpus.jsonl and queries.jsonl (BEIR's layout); None: only what needs no index.
    """
    index, queries, found = [], [], {"collection": None}
    if collection:
        path = f"{run.directory}/index"
        made = subprocess.run(
            [worker, "index", "--out", path, f"{collection}/corpus.jsonl"], check=True, text=True, capture_output=True)
        index = ["--index", path]
        queries = [json.loads(line)["text"] for line in (Path(collection) / "queries.jsonl").read_text().splitlines()]
        size = ", ".join(re.findall(r"[0-9]+ (?:documents|chunks|terms)", made.stderr))
        found["collection"] = {"name": Path(collection).name, "queries": len(queries), "made": size}
    else:
        run.note("the worker's rag.execute is not measured: no collection (--collection DIR)")
    found["calls"] = in_a_row(run, [worker, *index], queries)
    found["alone"] = {name: alone([worker, *index], name, queries) for name in (TECHNIQUES if queries else ())}
    count = 3 if run.rounds < 3 else 15
    found["starts"] = {"without an index": [start([worker]) for _ in range(count)]}
    if index:
        found["starts"]["with the collection's"] = [start([worker, *index]) for _ in range(count)]
    return found


def call(number, method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


def execute(number, technique, query):
    return call(number, "rag.execute", technique=technique, query=query)


def in_a_row(run, command, queries):
    """{call: {cost_us, per_second}}: many calls in one file, which is the worker's input."""
    share = 1 if run.seconds >= 0.5 else 0.1
    loads = {
        "ping": [call(number, "ping") for number in range(int(50_000 * share))],
        "health.check": [call(number, "health.check") for number in range(int(20_000 * share))],
    }
    for technique in TECHNIQUES if queries else ():
        loads[f"rag.execute, {technique}"] = [
            execute(number, technique, query) for number, query in enumerate(queries * max(1, int(10 * share)))]
    found = {}
    for name, lines in loads.items():
        check(command, lines)
        for _ in range(run.rounds):
            # What the start costs, and the first call, is no cost of a call.
            few, many = (answered(run, command, part) for part in (lines[:1], lines))
            entry = found.setdefault(name, {"cost_us": [], "per_second": []})
            entry["cost_us"].append(round((many["processor"] - few["processor"]) / (len(lines) - 1) * 1e6, 3))
            entry["per_second"].append(round((len(lines) - 1) / max(1e-9, many["wall"] - few["wall"])))
    return found


def check(command, lines):
    done = subprocess.run(command, input=b"".join(lines), capture_output=True, timeout=120)
    results = done.stdout.count(b',"result":')
    if results != len(lines):
        raise Unavailable(f"the worker answered {results} of {len(lines)} calls with a result: {done.stderr[-500:]}")


def answered(run, command, lines):
    """Seconds until the worker has answered a file and ended, and of processor time of all its threads."""
    path = Path(run.directory) / "calls.jsonl"
    path.write_bytes(b"".join(lines))
    began = time.monotonic()
    with path.open("rb") as calls:
        process = subprocess.Popen(command, stdin=calls, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {"wall": time.monotonic() - began, "processor": usage.ru_utime + usage.ru_stime}


class Dialogue:
    """A worker that is asked one call after the other."""

    def __init__(self, command):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if b'"result":' not in answer:
            raise Unavailable(f"the worker answered {answer[:200]!r}")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)


def alone(command, technique, queries):
    """Medians of calls made one by one: from the call to its answer, and what the worker says of it."""
    rows = []
    with Dialogue(command) as worker:
        for number, query in enumerate(queries * 2):
            line = execute(number, technique, query)
            began = time.monotonic()
            answer = worker.ask(line)
            took = time.monotonic() - began
            performance = json.loads(answer)["result"]["performance"]
            rows.append((took * 1e6, performance["retrieval_time_ms"] * 1e3, performance["generation_time_ms"] * 1e3))
    # The first time each page of the index is touched.
    rows = rows[len(queries):]
    return {name: round(median(column), 1) for name, column in zip(("us", "retrieval_us", "answer_us"), zip(*rows))}


def start(command):
    """Milliseconds from the start of the process to its answer to a health.check, with which it is ready."""
    began = time.monotonic()
    with Dialogue(command) as worker:
        worker.ask(call(1, "health.check"))
        return round((time.monotonic() - began) * 1000, 2)
