"""A supervisor with echo workers that is started for one measurement, under what measures it."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from client import Client

CONFIGURATION = {"logging": {"level": "warning", "format": "text"}, "load_balancer": {"queue_size": 1024}}
# Dictionaries of two runs have the same order, so that they cost the same.
FIXED = {"SWIFT_DETERMINISTIC_HASHING": "1"}
START_SECONDS = 60


class MeasuredSupervisor:
    """A context: entered when all workers are ready, left when nothing of it runs any more."""

    def __init__(self, program: Path, directory: Path, under: list, environment: dict, workers: int) -> None:
        worker = Path(__file__).with_name("echo_worker.py")
        pool = {"name": "default", "command": [sys.executable, str(worker)], "min_workers": workers}
        pool["inherit_env"] = ["PATH", "HOME"]  # what is preloaded is for the supervisor only
        self.directory = directory
        self.socket = str(directory / "s")
        configuration = directory / "supervisor.json5"
        configuration.write_text(json.dumps(CONFIGURATION | {"pools": [pool]}))
        own = {name: value for name, value in os.environ.items() if not name.startswith("SUPERVISOR_")}
        self.log = directory / "log"
        with self.log.open("wb") as log:
            # A group of its own: strace and valgrind end with what they watch. The workers die with their supervisor.
            self.process = subprocess.Popen(
                [*under, program, "serve", "--config", configuration, "--socket", self.socket],
                env=own | FIXED | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=os.setpgrp)

    def __enter__(self) -> "MeasuredSupervisor":
        try:
            self._wait_until_healthy()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                client = self.client(1)
                status = client.call("supervisor.status")["result"]
                client.close()
                if status["status"] == "healthy":
                    self.pid = status["pid"]
                    return
            except (FileNotFoundError, ConnectionError):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the supervisor does not get healthy:\n{self.log.read_text(errors='replace')}")

    def client(self, connections: int) -> Client:
        return Client(self.socket, connections)

    def __exit__(self, *_: object) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
