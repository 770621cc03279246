#!/usr/bin/env python3
"""A worker that behaves as badly as it is told to.

What it can be told is listed in README.md beside it; FixtureWorker is the same program in Swift.
"""
import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--modes", action="store_true")
    add("--concurrency", type=int)
    add("--cancel", choices=["honour", "declare"])
    add("--idempotent", default="")
    add("--techniques")
    add("--log")
    add("--exit", type=int)
    add("--stderr", default="")
    add("--never-ready", action="store_true")
    add("--unhealthy", action="store_true")
    add("--ready-after", type=float, default=0)
    add("--banner", type=int, default=0)
    add("--noise", type=int, default=0)
    add("--ignore-terminate", action="store_true")
    add("--ignore-end", action="store_true")
    add("--grandchildren", choices=["plain", "setsid"], action="append", default=[])
    add("--pids")
    add("--orders")
    add("words", nargs="*")
    parsed = parser.parse_args()
    if parsed.modes:
        flags = [flag for action in parser._actions for flag in action.option_strings if len(flag) > 2]
        print("\n".join("flag " + flag for flag in sorted(flags) if flag != "--help"))
        print("\n".join("method " + name for name in sorted(METHODS)))
        sys.exit(0)
    return parsed


# -- Output

write_lock = threading.Lock()


def write_bytes(data):
    with write_lock:
        while data:
            data = data[os.write(1, data):]


def write_line(text):
    write_bytes(text.encode() + b"\n")


def reply_text(number, result_text):
    """A response with a result that is written byte for byte."""
    return '{"jsonrpc":"2.0","id":%s,"result":%s}' % (json.dumps(number), result_text)


def reply(number, result):
    for count in range(arguments.noise):
        write_line("warning: noise %d before reply %s" % (count, number))
    write_line(reply_text(number, json.dumps(result)))


def reply_error(number, code, message):
    error = {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}
    write_line(json.dumps(error))


def sleep_for_ever():
    while True:
        time.sleep(3600)


# -- Methods: each gets the call's params and its number, and returns the result, or NO_REPLY when it has replied
#    itself or will not.

NO_REPLY = object()
held_replies = []


class Call:
    """A call in progress."""

    def __init__(self, number, params, metadata):
        self.number, self.params, self.metadata = number, params, metadata
        self.cancelled = threading.Event()

    def get(self, name, default=None):
        return self.params.get(name, default) if isinstance(self.params, dict) else default


def echo(call):
    return call.params


def metadata(call):
    return call.metadata


def whoami(call):
    return {"pid": os.getpid(), "worker_id": os.environ.get("WORKER_ID"), "nonce": call.get("nonce")}


def sleep(call):
    """Sleeps {ms}, or until cancelled by who honours it; the result is the params."""
    if arguments.cancel == "honour":
        if call.cancelled.wait(call.get("ms", 0) / 1000):
            reply_error(call.number, -32800, "Request cancelled")
            return NO_REPLY
    else:
        time.sleep(call.get("ms", 0) / 1000)
    return call.params


def hang(call):
    sleep_for_ever()


def crash(call):
    """Dies of {signal}, or exits with {code}, with {stderr} as its last words."""
    sys.stderr.write(call.get("stderr", "about to crash") + "\n")
    sys.stderr.flush()
    if call.get("signal"):
        os.kill(os.getpid(), getattr(signal, call.get("signal")))
        sleep_for_ever()
    os._exit(call.get("code", 7))


def crash_once(call):
    """Crashes unless the file {marker} is there, and makes it."""
    try:
        os.close(os.open(call.get("marker"), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return call.params
    return crash(call)


def raw(call):
    """The result is {text}, byte for byte."""
    write_line(reply_text(call.number, call.get("text")))
    return NO_REPLY


def fail(call):
    """An error object as it stands in {text}."""
    write_line('{"jsonrpc":"2.0","id":%d,"error":%s}' % (call.number, call.get("text")))
    return NO_REPLY


def big(call):
    return "x" * call.get("bytes", 1)


def chatter(call):
    """Writes {bytes} to stderr in lines, then answers."""
    line = b"e" * 1023 + b"\n"
    for _ in range(call.get("bytes", 0) // len(line)):
        os.write(2, line)
    return "said"


def noise(call):
    """Writes {lines} of {bytes} each to stdout, then answers."""
    line = b"n" * (call.get("bytes", 20)) + b"\n"
    for _ in range(call.get("lines", 1)):
        write_bytes(line)
    return "noisy"


def spill(call):
    """Writes the bytes in {hex} to stdout, {count} times, and a line's end, then answers."""
    for _ in range(call.get("count", 1)):
        write_bytes(bytes.fromhex(call.get("hex", "")))
    write_bytes(b"\n")
    return "spilt"


def half_line(call):
    write_bytes(b'{"jsonrpc":"2.0","id":%d,"resu' % call.number)
    os._exit(0)


def unreadable(call):
    """A reply that is none: no result and no error."""
    write_line('{"jsonrpc":"2.0","id":%d,"outcome":1}' % call.number)
    return NO_REPLY


def twice(call):
    reply(call.number, call.params)
    return call.params


def foreign(call):
    """Answers a call that nobody made, then this one."""
    write_line('{"jsonrpc":"2.0","id":987654321098765,"result":"foreign"}')
    write_line('{"jsonrpc":"2.0","id":"a name","result":"foreign"}')
    return call.params


def hold(call):
    """Holds its replies until {count} are there, then gives them in reverse order."""
    with write_lock:
        held_replies.append((call.number, call.params))
        if len(held_replies) < call.get("count", 1):
            return NO_REPLY
        replies, held_replies[:] = list(reversed(held_replies)), []
    for number, result in replies:
        reply(number, result)
    return NO_REPLY


def close_output(call):
    os.close(1)
    sleep_for_ever()


def stop_reading(call):
    """Answers, and reads no more for {ms}: the main thread waits for it."""
    stop_reading.until = time.monotonic() + call.get("ms", 0) / 1000
    return "deaf"


stop_reading.until = 0


def stream(call):
    """Writes {chunks}, {ms} apart, {bytes} more in each, the last one {final}; {late} more behind the answer."""
    count, pause = call.get("chunks", 1), call.get("ms", 0) / 1000
    for index in range(count):
        if call.cancelled.is_set() and arguments.cancel == "honour":
            reply_error(call.number, -32800, "Request cancelled")
            return NO_REPLY
        write_chunk(call, index, call.get("final", False) and index == count - 1)
        time.sleep(pause)
    reply(call.number, call.params)
    for index in range(call.get("late", 0)):
        write_chunk(call, count + index, False)
    return NO_REPLY


def write_chunk(call, index, is_final):
    data = {"nonce": call.get("nonce"), "n": index, "pad": "x" * call.get("bytes", 0)}
    params = {"request_id": call.number, "sequence": index, "chunk_type": "partial_answer",
              "data": data, "is_final": is_final}
    write_line(json.dumps({"jsonrpc": "2.0", "method": "stream_chunk", "params": params}))


def introspect(call):
    """What this process was born with."""
    status = open("/proc/self/status").read()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            descriptors[name] = os.readlink("/proc/self/fd/" + name)
        except FileNotFoundError:
            pass  # the listing's own
    return {
        "pid": os.getpid(), "group": os.getpgid(0), "directory": os.getcwd(), "words": arguments.words,
        "environment": dict(os.environ), "descriptors": descriptors,
        # Python itself ignores SIGPIPE and SIGXFSZ: what it was born with is what is left of the mask.
        "blocked": fields["SigBlk"].strip(), "ignored": fields["SigIgn"].strip(),
    }


METHODS = {
    function.__name__: function
    for function in (
        echo, metadata, whoami, sleep, hang, crash, crash_once, raw, fail, big, chatter, noise, spill,
        half_line, unreadable, twice, foreign, hold, close_output, stop_reading, stream, introspect)
}


# -- The worker

calls = {}


def capabilities():
    declared = {"cancel": arguments.cancel is not None}
    declared["idempotent"] = [name for name in arguments.idempotent.split(",") if name]
    if arguments.concurrency:
        declared["max_concurrency"] = arguments.concurrency
    if arguments.techniques:
        declared["techniques"] = arguments.techniques.split(",")
    return declared


def obey_orders():
    """The file of --orders says, as long as it is there: `delay MS`, or `fail`."""
    try:
        words = open(arguments.orders).read().split() if arguments.orders else []
    except FileNotFoundError:
        return
    if words[:1] == ["delay"]:
        time.sleep(int(words[1]) / 1000)
    elif words[:1] == ["fail"]:
        raise RuntimeError("told to fail")


def run(method, call):
    name = call.get("action", "echo") if "." in method else method
    if name not in METHODS:
        reply_error(call.number, -32601, "Method not found: " + method)
        return
    try:
        obey_orders()
        result = METHODS[name](call)
    except Exception as error:
        reply_error(call.number, -32603, str(error))
        return
    finally:
        calls.pop(call.number, None)
    if result is not NO_REPLY and call.number is not None:
        reply(call.number, result)


def take(line):
    message = json.loads(line)
    method, number = message.get("method"), message.get("id")
    if method == "health.check":
        if not arguments.never_ready:
            status = "unhealthy" if arguments.unhealthy else "healthy"
            write_line(reply_text(number, json.dumps({"status": status, "capabilities": capabilities()})))
    elif method == "$/cancelRequest":
        call = calls.get(message["params"]["id"])
        if call:
            call.cancelled.set()
    elif method:
        call = Call(number, message.get("params"), message.get("metadata"))
        if number is not None:
            calls[number] = call
        threading.Thread(target=run, args=(method, call), daemon=True).start()


def note_pid(pid):
    if arguments.pids:
        with open(arguments.pids, "a") as file:
            file.write("%d\n" % pid)


def start():
    if arguments.stderr:
        sys.stderr.write(arguments.stderr + "\n")
        sys.stderr.flush()
    note_pid(os.getpid())
    for kind in arguments.grandchildren:
        child = subprocess.Popen(
            ["sleep", "3600"], stdin=subprocess.DEVNULL, start_new_session=kind == "setsid")
        note_pid(child.pid)
    if arguments.exit is not None:
        os._exit(arguments.exit)
    if arguments.ignore_terminate:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for count in range(arguments.banner):
        write_line("*** welcome to the fixture, line %d ***" % count)
    time.sleep(arguments.ready_after)


def serve():
    log = open(arguments.log, "ab", buffering=0) if arguments.log else None
    for line in sys.stdin.buffer:
        if log:
            log.write(line)
        take(line)
        while True:
            time.sleep(0.005 if stop_reading.until else 0)
            if time.monotonic() >= stop_reading.until:
                break
    if arguments.ignore_end:
        sleep_for_ever()
    deadline = time.monotonic() + 5
    while calls and time.monotonic() < deadline:
        time.sleep(0.01)
    os._exit(0)


arguments = parse_arguments()
start()
serve()
