"""docs/performance.md from results.json: nothing stands there that was not measured."""
from collections import Counter
from statistics import median

import measurements

# (measured, compared with, load, at least): the first is either a subject of the throughput or "peer: NAME".
TARGETS = [
    ("supervisor", "floor", "8x1", 0.75),
    ("supervisor", "floor", "64x1", 0.80),
    ("supervisor", "floor", "1x32", 0.55),
    ("supervisor", "floor", "8x32", 0.45),
    ("cache hits", "floor", "8x1", 1.5),
    ("cache hits", "floor", "8x32", 1.0),
    ("supervisor", "Node bridge", "8x1", 1.2),
    ("supervisor", "Node bridge", "64x1", 1.7),
    ("supervisor", "Node bridge", "8x32", 7),
    ("supervisor", "MOSEC", "8x1", 5),
    ("supervisor", "gunicorn", "8x1", 8),
    ("supervisor", "Ray Serve", "8x1", 300),
]
# Rounds of a closed loop on a machine with nothing else to do differ by less.
NOISY = 0.25
BUSY = 0.1
CLIENT_LIMIT = 0.95


# MARK: Figures


def good(values):
    return [value for value in values or [] if value is not None]


def middle(values):
    return median(good(values)) if good(values) else None


def spread(values):
    """How far the rounds lie apart, as a share of their median."""
    kept = good(values)
    return (max(kept) - min(kept)) / median(kept) if len(kept) > 1 else None


def pair(results, measured, base, load):
    """The rounds of two subjects that were measured in turn."""
    peers = results.get("peers", {})
    if base in peers:
        return peers[base]["supervisor"]["per_second"], peers[base]["peer"]["per_second"]
    table = results["throughput"].get(load, {})
    return (table.get(name, {}).get("per_second", []) for name in (measured, base))


class Ratio:
    """Of the medians; and of the rounds in which both were measured, the least and the greatest."""

    def __init__(self, ours, theirs):
        self.whole = middle(ours) / middle(theirs)
        self.rounds = sorted(a / b for a, b in zip(ours, theirs) if a is not None and b is not None)

    def verdict(self, target):
        if len(self.rounds) < 2:
            return "too few rounds to tell"
        least, greatest = self.rounds[0], self.rounds[-1]
        said = "reached" if self.whole >= target else "missed"
        if least >= target or greatest < target:
            return said
        if (greatest - least) / self.whole > NOISY:
            return f"too noisy to tell ({said})"
        return f"{said}, but not in every round"

    @property
    def range(self):
        return f"{number(self.rounds[0])} to {number(self.rounds[-1])}" if self.rounds else "–"


def ratio(ours, theirs):
    """None where one of them has no round that did not fail."""
    ours, theirs = list(ours), list(theirs)
    return Ratio(ours, theirs) if good(ours) and good(theirs) else None


def number(value, digits=None):
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)] + rows
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


# MARK: The page


def page(results):
    parts = (introduction, targets, calls, latencies, peers, streams, large, rest, own_worker, growth)
    return "\n".join(text for text in (*(part(results) for part in parts), CLOSING) if text)


def introduction(results):
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    sentences = [
        f"What a call costs, measured on {results['date']} by `Tests/Benchmarks/run --write`, which wrote this page:",
        f"{machine['processors']} processors ({machine['model']}), {machine['memory_gib']} GiB of memory,",
        f"Linux {machine['kernel']}; {versions}.",
        f"Figures are medians of {results['rounds']} rounds of {results['seconds']:g} s; all that is compared was",
        "measured in turn, by one client, with two workers that answer a call with its params.",
    ]
    yardstick = [
        "The yardstick is the *floor*, a C program with the same hops (client, Unix socket, one process, a child's",
        "stdin, its stdout, and back) that parses no byte, and whose two children send back what they read.",
        "A load of 8x32 is 8 connections with 32 calls in flight on each.",
    ]
    return "# Performance\n\n" + " ".join(sentences) + "\n\n" + " ".join(yardstick + noise(results)) + "\n"


def noise(results):
    """What the reader has to know before he believes a figure."""
    widths = {
        load: spread(subjects.get("floor", {}).get("per_second"))
        for load, subjects in results["throughput"].items()}
    widths = {load: width for load, width in widths.items() if width is not None}
    each = ", ".join(f"{width:.0%} at {load}" for load, width in widths.items())
    said = [f"The floor's own rounds differ by {each}."]
    wide = [load for load, width in widths.items() if width > NOISY]
    if wide:
        said.append(f"**Too noisy to tell** at {', '.join(wide)}: smaller differences than that say nothing there.")
    if results["machine"]["busy_before"] > BUSY:
        share = f"{results['machine']['busy_before']:.0%}"
        said.append(f"**Others used the machine**: its processors were busy for {share} before the run began.")
    wrong = ", ".join(f"{count:,} of {name}" for name, count in results["failures"].items())
    said.append(f"Of {results['answers']:,} calls " + (
        f"these failed, were not answered, or were answered twice: {wrong}." if wrong
        else "none failed, was left without an answer, or was answered twice."))
    return said + [f"Note: {note}." for note in results["notes"]]


def targets(results):
    rows, verdicts = [], Counter()
    for measured, base, load, target in TARGETS:
        found = ratio(*pair(results, measured, base, load))
        said = found.verdict(target) if found else "not measured"
        verdicts[said.split(",")[0].split(" (")[0]] += 1
        figures = [number(found.whole), found.range] if found else ["–", "–"]
        rows.append([f"{measured} over {base}, {load}", f"≥ {target}", *figures, said])
    summary = ", ".join(f"{count} {said}" for said, count in verdicts.most_common())
    return (
        f"## Targets\n\nOf {len(TARGETS)}: {summary}. *measured* is the ratio of the medians, *rounds* are the least "
        "and the greatest of a round; one that lies on either side of the target, by far, is too noisy to tell.\n\n"
        + table(["calls per second", "target", "measured", "rounds", ""], rows))


def calls(results):
    loads = list(results["throughput"])
    names = list(dict.fromkeys(name for load in loads for name in results["throughput"][load]))
    rates = [[name, *(rate(results["throughput"][load].get(name, {})) for load in loads)] for name in names]
    ratios = []
    for name in names[1:]:
        found = [ratio(*pair(results, name, "floor", load)) for load in loads]
        ratios.append([name, *(number(each and each.whole, 2) for each in found)])
    explanation = [
        "*floor with JSON workers* is the floor in front of the workers that all others have, which look for id and",
        "params and write a response. *cache hits* are calls of 1,000 different params, answered by the response",
        "cache. The supervisor's strategy is `round_robin` unless it is named.", limited(results)]
    return (
        "## Calls per second\n\n![Calls per second by load](performance.svg)\n\n" + table(["", *loads], rates)
        + "\n± is half of the distance between the least and the greatest round. The same over the floor:\n\n"
        + table(["", *loads], ratios) + "\n" + " ".join(explanation) + "\n")


def rate(figures):
    width = spread(figures.get("per_second"))
    return number(middle(figures.get("per_second")), 0) + ("" if width is None else f" ±{width / 2:.0%}")


def limited(results):
    """Where the client had no time left, a figure may be its own."""
    busy = [
        f"{name} at {load}" for load, subjects in results["throughput"].items()
        for name, figures in subjects.items() if (middle(figures.get("client")) or 0) > CLIENT_LIMIT]
    if not busy:
        return "The client always had processor time left."
    return f"The client had no processor time left with {', '.join(busy)}: these figures may be its own."


def latencies(results):
    rows = []
    for name in ("floor", "supervisor", "cache hits", "Node bridge"):
        cells = []
        for load in ("1x1", "8x1", "8x32"):
            figures = results["throughput"].get(load, {}).get(name, {})
            cells += [number(middle(figures.get(key)), 0) for key in ("p50_us", "p99_us")]
        rows.append([name, *cells])
    head = ["µs", "1x1 p50", "p99", "8x1 p50", "p99", "8x32 p50", "p99"]
    return "## Latency\n\nFrom sending a call to its answer, in a closed loop.\n\n" + table(head, rows)


def peers(results):
    rows = []
    for name, entry in results["peers"].items():
        ours, theirs = entry["supervisor"], entry["peer"]
        found = ratio(ours["per_second"], theirs["per_second"])
        rows.append([
            name, rate(theirs), rate(ours), number(found and found.whole),
            number(middle(theirs["p50_us"]), 0), number(middle(ours["p50_us"]), 0)])
    if not rows:
        return ""
    sentences = [
        "Servers of models and applications in Python, each with two processes that send back the JSON they get",
        "(gunicorn: with four threads each), over HTTP with connections kept alive, each in turn with the supervisor.",
        "They do other things besides, and their workers are Python: this says what the way to a worker costs, not",
        "which is better."]
    head = ["8 connections", "calls/s", "supervisor", "ratio", "p50 µs", "supervisor"]
    return "## Peers\n\n" + " ".join(sentences) + "\n\n" + table(head, rows)


def streams(results):
    rows = [
        [f"{name}, {load}", rate(figures), number(middle(figures["messages"]), 0), number(middle(figures["p50_us"]), 0)]
        for load, subjects in results["streams"].items() for name, figures in subjects.items()]
    return (
        f"## Streams\n\n`rag.stream`, answered in {measurements.STREAM_CHUNKS} chunks and a response; the supervisor "
        "adds the final chunk.\n\n" + table(["", "streams/s", "messages/s", "p50 µs"], rows))


def large(results):
    floor, ours = (results["large"].get(name, {}) for name in ("floor", "supervisor"))
    found = ratio(ours.get("per_second", []), floor.get("per_second", []))
    if found is None:
        return ""
    rows = [
        [name, number(2 * middle(entry["per_second"]), 0), number(middle(entry["p50_us"]) / 1000)]
        for name, entry in (("floor", floor), ("supervisor", ours))]
    return (
        "## Large messages\n\n1 MiB in the call and in its result, one call at a time. The supervisor moves "
        f"{number(found.whole)} of the floor's bytes per second.\n\n" + table(["", "MiB/s", "p50 ms"], rows))


def rest(results):
    rows = []
    for build, figures in results["rest"].items():
        idle, starts = figures["idle"], figures["starts"]
        first = f"{number(middle(starts), 1)} ({number(min(starts), 1)} to {number(max(starts), 1)})"
        for name in ("supervisor", "guardian"):
            found = idle.get(name)
            if not found:
                continue
            loaded = found.get("resident_kib_after_load")
            rows.append([
                f"{build}, {name}", number(found["resident_kib"] / 1024, 1),
                number(loaded / 1024, 1) if loaded else "–", number(found["wakeups"] * 60 / idle["seconds"], 1),
                number(found["processor_us"] / idle["seconds"], 1), first if loaded else "–"])
    head = ["build", "MiB at rest", "after load", "wake-ups a minute", "µs of CPU a second", "ms to the first answer"]
    return (
        "## At rest, and at the start\n\nResident memory, wake-ups and processor time of a supervisor with two workers "
        "that nobody calls; and the time from its start to the first answer of a worker, with the least and the "
        "greatest. What wakes it is its own question of every ten seconds, `health.check` to each worker, and their "
        "answers: two or three wake-ups each time, and no other.\n\n" + table(head, rows))


# Of the worker: processor time of a health.check in microseconds, and milliseconds from its start to the answer.
HEALTH_CHECK, START = 10, 30


def own_worker(results):
    found = results.get("worker")
    if not found:
        return ""
    sentences = [
        "Our own worker by itself, without a supervisor. *In a row*: a file of calls is its input, nobody waits for an",
        "answer; processor time is that of all its threads, without the start."]
    if found["collection"]:
        sentences += [
            f"Its index is of the collection {found['collection']['name']} ({found['collection']['made']}), and",
            f"`rag.execute` answers the {found['collection']['queries']} questions of that. *One by one*: the next call",
            "is made when one is answered; retrieval ranks chunks, the answer is chosen from their sentences, and the",
            "rest is JSON, two pipes and the threads."]
    parts = ["## The worker\n\n" + " ".join(sentences) + "\n"]
    parts.append(table(["in a row", "µs of CPU a call", "calls/s", "target"], [
        [name, number(middle(figures["cost_us"]), 1), rate(figures),
         aim(middle(figures["cost_us"]), HEALTH_CHECK) if name == "health.check" else ""]
        for name, figures in found["calls"].items()]))
    if found["alone"]:
        parts.append(table(["one by one", "p50 µs", "retrieval", "answer", "the rest"], [
            [name, *(number(value, 0) for value in (
                entry["us"], entry["retrieval_us"], entry["answer_us"],
                entry["us"] - entry["retrieval_us"] - entry["answer_us"]))]
            for name, entry in found["alone"].items()]))
    parts.append(table(["from its start to the answer of a health.check", "ms", "least", "greatest", "target"], [
        [name, number(middle(times), 1), number(min(times), 1), number(max(times), 1), aim(middle(times), START)]
        for name, times in found["starts"].items()]))
    return "\n".join(parts)


def aim(value, target):
    return f"≤ {target}: {'reached' if value <= target else 'missed'}"


def growth(results):
    sentences = [
        "Processor time of the supervisor for a call, with more and more beside it. A call costs less where one read",
        "and one write carry several, so that more connections make it cheaper, and more workers, among which they",
        "are shared out, dearer: for the floor as well, whose processor time stands beside the supervisor's."]
    scale = results["scale"]
    head = ["µs of CPU a call", "calls/s", "p50 µs"]
    parts = [
        "## As numbers grow\n\n![Processor time of a call as numbers grow](scale.svg)\n\n" + " ".join(sentences) + "\n",
        table(["connections", *head], [grown(entry) for entry in scale["connections"].items()]),
        table(["workers, 64 connections", *head, "the floor's µs", "ratio"], [
            grown((name, figures)) + beside(figures, scale.get("floor_workers", {}).get(name, {}))
            for name, figures in scale["workers"].items()]),
        table(["calls waiting with a deadline, 8 connections", *head], [
            grown(entry) for entry in scale["queued"].items()]),
    ]
    return "\n".join(parts)


def grown(entry):
    name, figures = entry
    digits = (("cost_us", 2), ("per_second", 0), ("p50_us", 0))
    return [name, *(number(middle(figures.get(key)), places) for key, places in digits)]


def beside(figures, floor):
    found = ratio(figures.get("cost_us", []), floor.get("cost_us", []))
    return [number(middle(floor.get("cost_us")), 2), number(found and found.whole)]


CLOSING = """## Measure it yourself

`Tests/Benchmarks/run --quick` takes less than a minute and writes nothing; `Tests/Benchmarks/README.md` says how the \
whole is run, and what each program there does. What the supervisor takes with workers and calls of your own, \
`supervisor bench` tells ([Operating it](operations.md)). A closed loop on a busy machine measures the neighbours: \
compare ratios of one run, never figures of two.
"""
