"""Names for the stacks that allocations.c has noted."""
import subprocess
from collections import Counter
from pathlib import Path


class AddressMap:
    """Where a process has its files in memory."""

    def __init__(self, pid: int) -> None:
        self.ranges = []
        bases = {}
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, _, _, _, _, *path = line.split(maxsplit=5)
            if not path or not path[0].startswith("/"):
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            base = bases.setdefault(path[0], start)
            self.ranges.append((start, end, base, path[0]))

    def place(self, address: int) -> tuple:
        """The file and the address in it."""
        for start, end, base, path in self.ranges:
            if start <= address < end:
                return path, address - base
        return "", address


def names(pid: int, addresses: set) -> dict:
    """The functions at each address, the innermost inlined one first, each with its file and line."""
    memory = AddressMap(pid)
    result = {}
    by_file = {}
    for address in addresses:
        path, offset = memory.place(address)
        by_file.setdefault(path, []).append((address, offset))
        result[address] = [f"{Path(path).name}+{offset:#x}"]
    for path, places in by_file.items():
        # A return address: the call stands before it.
        text = "".join(f"{offset - 1:#x}\n" for _, offset in places)
        try:
            symbols = subprocess.run(
                ["llvm-symbolizer", f"--obj={path}", "--basenames"],
                input=text, capture_output=True, text=True, check=True).stdout
            symbols = subprocess.run(
                ["swift", "demangle", "--simplified"], input=symbols, capture_output=True, text=True, check=True).stdout
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
        for (address, _), block in zip(places, symbols.split("\n\n")):
            lines = block.split("\n")
            if lines[0] != "??":
                result[address] = [f"{function}  {place}" for function, place in zip(lines[::2], lines[1::2])]
    return result


def report(pid: int, stacks: list) -> str:
    """The stacks, the most frequent first, each from the innermost function on."""
    named = names(pid, {address for stack in stacks for address in stack})
    text = []
    for stack, count in Counter(tuple(stack) for stack in stacks).most_common(8):
        text.append(f"  {count} of {len(stacks)} allocations looked at:")
        text += [f"    {name}" for address in stack for name in named[address]]
    return "\n".join(text)
