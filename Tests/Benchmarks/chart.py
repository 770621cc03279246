"""docs/performance.svg from results.json: calls per second by load, on a logarithmic scale."""
from math import log10

from report import middle

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


def text(x, y, words, attributes):
    return f'<text x="{x:.1f}" y="{y:.1f}" {FONT} {attributes}>{words}</text>'


def svg(results):
    groups = bars(results)
    values = [value for _, rows in groups for _, value in rows]
    low, high = int(log10(min(values))), log10(max(values))
    scale = (WIDTH - LEFT - RIGHT) / max(high - low, 1)
    height = TOP + sum(len(rows) * BAR + GAP for _, rows in groups) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Calls per second by load, logarithmic</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
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
