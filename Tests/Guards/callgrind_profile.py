"""The functions in a profile of callgrind, with what was inlined into each counted as its own.

    python3 Tests/Guards/callgrind_profile.py PROFILE CALLS [NUMBER]      NUMBER: of functions, 30
"""
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

FUNCTION = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?")


def read(path: Path) -> tuple:
    """Instructions of each function by itself, and with all that it called (recursion is counted again)."""
    names, own, inclusive = {}, Counter(), Counter()
    function, is_call = "", False
    for line in path.read_text(errors="replace").splitlines():
        if match := FUNCTION.match(line):
            kind, number, name = match.groups()
            names[number] = name or names[number]
            if kind == "fn":
                function = names[number].split("'")[0]
        elif line.startswith("calls="):
            is_call = True
        elif line[:1].isdigit() or line[:1] in "+-*":
            cost = int(line.split()[-1]) if " " in line else 0
            inclusive[function] += cost
            if not is_call:
                own[function] += cost
            is_call = False
    return own, inclusive


def demangled(names: list) -> list:
    try:
        return subprocess.run(
            ["swift", "demangle", "--simplified"], input="\n".join(names), capture_output=True, text=True,
            check=True).stdout.splitlines()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return names


def table(costs: Counter, calls: int, number: int) -> str:
    rows = costs.most_common(number)
    names = demangled([name for name, _ in rows])
    return "\n".join(f"{cost / calls:12.1f}  {name[:140]}" for (_, cost), name in zip(rows, names))


def report(path: Path, calls: int, number: int) -> str:
    own, inclusive = read(path)
    return (
        f"    by themselves, a call\n{table(own, calls, number)}\n"
        f"    with all that they called\n{table(inclusive, calls, number)}")


if __name__ == "__main__":
    print(report(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 30))
