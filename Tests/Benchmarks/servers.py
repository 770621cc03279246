"""The processes that are measured: how each is built, started, asked whether it answers, and stopped."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / ".build" / "benchmarks"
WORKERS = 2
START_PATIENCE = 90  # seconds; Ray takes 10 to 30


class Unavailable(Exception):
    """Something that is not on this machine, and how to get it."""


def run(command, **options):
    return subprocess.run(command, check=True, text=True, capture_output=True, **options).stdout


def compile_programs():
    """Builds the C programs; returns where they are."""
    compiler = shutil.which("cc") or shutil.which("clang")
    if not compiler:
        raise Unavailable("no C compiler: neither cc nor the clang of the Swift toolchain is in PATH")
    WORK.mkdir(parents=True, exist_ok=True)
    programs = {}
    for name in ("forward", "echo_worker", "load"):
        programs[name] = str(WORK / name)
        run([compiler, "-O2", "-Wall", "-o", programs[name], str(HERE / f"{name}.c")])
    return programs


def build_supervisor(static=False):
    """A release build; the one that needs nothing on the machine goes to a directory of its own."""
    command = ["swift", "build", "-c", "release", "--product", "supervisor", "--package-path", str(ROOT)]
    if static:
        command += ["--static-swift-stdlib", "--scratch-path", str(WORK / "static")]
    try:
        run(command)
        return run(command + ["--show-bin-path"]).strip() + "/supervisor"
    except FileNotFoundError:
        raise Unavailable("no swift in PATH")
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{' '.join(command)}:\n{error.stdout[-2000:]}{error.stderr[-2000:]}")


class Server:
    """A process in a group of its own, and where it listens.

    It stays in this session: the kernel shares processor time out by session, and all that is measured, and
    the client, shall have the same share.
    """

    def __init__(self, name, command, address, directory, **options):
        self.name = name
        self.address = str(address)
        self.raw = options.pop("raw", 0)
        self.path = options.pop("path", "/")
        self.log = Path(directory) / f"{name.replace(' ', '-').replace('/', '-')}.log"
        self.command = [str(part) for part in command]
        self.options = options
        self.process = None

    def spawn(self):
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=log, stderr=log, preexec_fn=os.setpgrp, **self.options)
        return self

    def start(self):
        self.spawn()
        deadline = time.monotonic() + START_PATIENCE
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise Unavailable(f"{self.name} does not answer:\n{self.log_tail()}")
            time.sleep(0.02)
        return self

    def log_tail(self):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])

    def answers(self):
        try:
            if self.address.isdigit():
                return self.answers_http()
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(5)
                client.connect(self.address)
                client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"rag.execute","params":{"technique":"echo"}}\n')
                return b"echo" in client.makefile("rb").readline()
        except OSError:
            return False

    def answers_http(self):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.address}{self.path}", data=b'{"query":"q"}',
            headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as response:
            return b"query" in response.read()

    path = "/"

    def signal_all(self, number):
        """Also to those that went into groups of their own, parents first."""
        pids = [self.process.pid]
        for pid in pids:
            try:
                os.kill(pid, number)
                for task in Path(f"/proc/{pid}/task").iterdir():
                    pids += [int(child) for child in (task / "children").read_text().split()]
            except (ProcessLookupError, FileNotFoundError):
                continue

    @contextmanager
    def standing_still(self):
        """What it does on its own takes nothing from others that are measured meanwhile."""
        self.signal_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal_all(signal.SIGCONT)

    def stop(self):
        if self.process is None:
            return
        self.process.stdin.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


# MARK: What is measured


def floor(programs, directory, name="floor", worker=(), workers=WORKERS):
    """The raw one sends back the call as it is; with workers it carries the same answers as the others."""
    path = f"{directory}/{name.replace(' ', '-')}.sock"
    return Server(
        name, [programs["forward"], path, workers, *worker], path, directory, raw=0 if worker else 1)


def bridge(programs, directory):
    node = shutil.which("node")
    if not node:
        raise Unavailable("the Node bridge: no node in PATH; install it from the system (apt-get install nodejs)")
    path = f"{directory}/bridge.sock"
    return Server(
        "Node bridge", [node, HERE / "bridge.js", path, WORKERS, programs["echo_worker"]], path, directory)


def supervisor(binary, directory, name, command, strategy="round_robin", workers=WORKERS, **sections):
    """Defaults but for what is named; `sections` replace whole sections of the configuration."""
    stem = f"{directory}/{name.replace(' ', '-')}"
    configuration = {
        "socket": {"path": f"{stem}.sock"},
        "pools": [{"name": "default", "command": command, "min_workers": workers}],
        "load_balancer": {"strategy": strategy},
        "logging": {"level": "warning"},
    }
    configuration.update(sections)
    Path(f"{stem}.json").write_text(json.dumps(configuration))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SUPERVISOR_")}
    return Server(
        name, [binary, "serve", "--config", f"{stem}.json"], f"{stem}.sock", directory, env=environment)


# MARK: Peers

VENV = WORK / "venv"
PACKAGES = {"MOSEC": "mosec", "gunicorn": "gunicorn", "Ray Serve": "ray[serve]"}
MODULES = {"MOSEC": "mosec", "gunicorn": "gunicorn", "Ray Serve": "ray.serve"}


def install_peers():
    if not VENV.exists():
        subprocess.run(["python3", "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "pip"), "install", "--quiet", *PACKAGES.values()], check=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def peer(name, directory):
    python = VENV / "bin" / "python"
    module = MODULES[name].split(".")[0]
    if not list(VENV.glob(f"lib/python*/site-packages/{module}/__init__.py")):
        raise Unavailable(f"{name} is not installed: Tests/Benchmarks/run --install puts it into {VENV}")
    port = free_port()
    environment = dict(os.environ, PYTHONPATH=str(HERE / "peers"), RAY_USAGE_STATS_ENABLED="0")
    commands = {
        "MOSEC": [python, HERE / "peers" / "mosec_echo.py", "--port", port, "--address", "127.0.0.1"],
        "gunicorn": [
            python, "-m", "gunicorn", "--workers", WORKERS, "--threads", 4, "--keep-alive", 60,
            "--bind", f"127.0.0.1:{port}", "gunicorn_echo:application"],
        "Ray Serve": [python, HERE / "peers" / "ray_echo.py", port],
    }
    path = "/inference" if name == "MOSEC" else "/"
    return Server(name, commands[name], port, directory, path=path, env=environment)


def commit():
    """Of the sources that were built; nothing where they came without git."""
    try:
        return " of commit " + run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]).strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return ""


def versions(binary):
    """What was measured, by name."""
    found = {"supervisor": run([binary, "version"]).split()[1] + commit()}
    found["Swift"] = run(["swift", "--version"], stdin=subprocess.DEVNULL).split("version ")[1].split()[0]
    if shutil.which("node"):
        found["Node"] = run(["node", "--version"]).strip()
    if VENV.exists():
        listed = run([str(VENV / "bin" / "pip"), "list", "--format", "json", "--disable-pip-version-check"])
        installed = {package["name"]: package["version"] for package in json.loads(listed)}
        for name, package in PACKAGES.items():
            if package.split("[")[0] in installed:
                found[name] = installed[package.split("[")[0]]
        found["Python"] = run([str(VENV / "bin" / "python"), "--version"]).split()[1]
    return found
