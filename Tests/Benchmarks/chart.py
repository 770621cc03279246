"""The charts of docs/performance.md from results.json."""
from math import log10

from report import good, middle

COLORS = {
    "floor": "#9aa0a6", "cache hits": "#34a853", "supervisor": "#1a73e8", "Node bridge": "#e37400",
    "MOSEC": "#b06ab3", "gunicorn": "#8d6e63", "Ray Serve": "#d93025",
}
WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 820, 14, 12, 60, 210, 40
FONT = 'font-family="sans-serif" font-size="12"'


def bars(results):
    """[(load, [(subject, calls per second)])] of those that have figures."""
    found = []
    for load, subjects in results["throughput"].items():
        rows = [(name, middle(subjects[name]["per_second"])) for name in COLORS if name in subjects]
        if load == "8x1":
            rows += [(name, middle(entry["peer"]["per_second"])) for name, entry in results["peers"].items()]
        found.append((load, [(name, value) for name, value in rows if value]))
    return [(load, rows) for load, rows in found if rows]


def head(title, height):
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]


def text(x, y, words, attributes):
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} {attributes}>{words}</text>'


def calls(results):
    """Calls per second by load, on a logarithmic scale."""
    groups = bars(results)
    values = [value for _, rows in groups for _, value in rows]
    low, high = int(log10(min(values))), log10(max(values))
    scale = (WIDTH - LEFT - RIGHT) / max(high - low, 1)
    height = TOP + sum(len(rows) * BAR + GAP for _, rows in groups) + 10
    lines = head("Calls per second by load, logarithmic", height)
    for power in range(low, int(high) + 1):
        x = LEFT + (power - low) * scale
        lines.append(f'<line x1="{x:.1f}" y1="{TOP - 12}" x2="{x:.1f}" y2="{height - 10}" stroke="#e0e0e0"/>')
        lines.append(text(x, TOP - 18, f"{10 ** power:,}", 'text-anchor="middle" fill="#5f6368"'))
    y = TOP
    for load, rows in groups:
        middle_of_group = y + len(rows) * BAR / 2 + 4
        lines.append(text(LEFT - 10, middle_of_group, load, 'text-anchor="end" font-weight="bold"'))
        for name, value in rows:
            length = max(1, (log10(value) - low) * scale)
            lines.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{COLORS[name]}"/>')
            lines.append(text(LEFT + length + 6, y + BAR - 4, f"{name} {value:,.0f}", 'fill="#202124"'))
            y += BAR
        y += GAP
    return "\n".join(lines + ["</svg>"]) + "\n"


# MARK: As numbers grow

# What grows; the table of the supervisor, and of the floor where that was measured beside it.
PANELS = [("connections", "connections", None), ("workers", "workers", "floor_workers"),
          ("calls waiting with a deadline", "queued", None)]
PANEL, BETWEEN, HEIGHT, BOTTOM = 220, 40, 280, 60


def growth(results):
    """Processor time of a call as numbers grow: one panel each, all on one scale from zero."""
    tables = [(title, [("supervisor", results["scale"][ours]), ("floor", results["scale"].get(floors, {}))])
              for title, ours, floors in PANELS]
    costs = [value for _, lines in tables for _, table in lines for entry in table.values()
             for value in good(entry["cost_us"])]
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if max(costs) / step <= 6)
    highest = step * (int(max(costs) / step) + 1)
    lines = head("Processor time of a call as numbers grow", HEIGHT)
    lines.append(text(LEFT - 40, 20, "µs of CPU a call: the median, and from the least to the greatest round",
                      'fill="#5f6368"'))
    for place, name in enumerate(("supervisor", "floor")):
        lines.append(text(WIDTH - 150 + 90 * place, 20, name, f'fill="{COLORS[name]}" font-weight="bold"'))

    def y(value):
        return HEIGHT - BOTTOM - value / highest * (HEIGHT - BOTTOM - TOP - 10)

    for number, (title, subjects) in enumerate(tables):
        left = LEFT - 20 + number * (PANEL + BETWEEN)
        for value in range(0, highest + 1, step):
            lines.append(f'<line x1="{left}" y1="{y(value):.1f}" x2="{left + PANEL}" y2="{y(value):.1f}" '
                         'stroke="#e0e0e0"/>')
            lines.append(text(left - 6, y(value) + 4, value, 'text-anchor="end" fill="#5f6368"'))
        for name, table in subjects:
            lines += curve(name, table, left, y)
        names = subjects[0][1]
        for place, name in enumerate(names):
            for row, part in enumerate(name.split(", ")):
                lines.append(text(across(left, place, len(names)), HEIGHT - BOTTOM + 18 + 14 * row, part,
                                  'text-anchor="middle" fill="#202124"'))
        lines.append(text(left + PANEL / 2, HEIGHT - 8, title, 'text-anchor="middle" font-weight="bold"'))
    return "\n".join(lines + ["</svg>"]) + "\n"


def across(left, place, count):
    return left + PANEL * (place + 0.5) / count


def curve(name, table, left, y):
    """A subject's medians, joined; their figures stand above the supervisor's and below the floor's."""
    color = COLORS[name]
    points = [(across(left, place, len(table)), good(entry["cost_us"])) for place, entry in enumerate(table.values())]
    points = [(x, values) for x, values in points if values]
    path = " ".join(f"{x:.1f},{y(middle(values)):.1f}" for x, values in points)
    lines = [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>']
    for x, values in points:
        low, high = y(min(values)), y(max(values))
        lines.append(f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{color}"/>')
        lines.append(f'<circle cx="{x:.1f}" cy="{y(middle(values)):.1f}" r="3.5" fill="{color}"/>')
        height = low + 16 if name == "floor" else high - 8
        lines.append(text(x, height, f"{middle(values):.1f}", f'text-anchor="middle" fill="{color}"'))
    return lines if points else []
