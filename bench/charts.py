"""Charts of the figures, as SVG that is the same for the same figures and can be read in light and in dark."""

import html
import statistics

from report import number

WIDTH, LABELS, BAR, GAP, TOP = 860, 330, 18, 8, 54
STYLE = """<style>
svg { font: 13px system-ui, sans-serif; --ground: #ffffff; --text: #1f2328; --faint: #59636e; --line: #d1d9e0; }
.ground { fill: var(--ground); } text { fill: var(--text); } .title { font-size: 15px; font-weight: 600; }
.faint { fill: var(--faint); } .line { stroke: var(--line); }
.ours { fill: #1a7f37; } .ceiling { fill: #8c959f; } .peer { fill: #0969da; }
.worker { fill: #1a7f37; } .redis { fill: #cf222e; } .postgres { fill: #0969da; }
@media (prefers-color-scheme: dark) {
svg { --ground: #0d1117; --text: #e6edf3; --faint: #9198a1; --line: #3d444d; }
.ours, .worker { fill: #3fb950; } .ceiling { fill: #6e7681; } .peer, .postgres { fill: #4493f8; } .redis { fill: #f85149; }
}
</style>"""


def chart(title, subtitle, bars, unit, mark=None, legend=()):
    """Horizontal bars: (label, [(class, length)], text). `mark` is where a line stands, `legend` the classes' names."""
    height = TOP + len(bars) * (BAR + GAP) + 14
    most = max([sum(length for _, length in parts) for _, parts, _ in bars] + [mark or 0])
    scale = (WIDTH - LABELS - 130) / most
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{html.escape(title)}">',
        STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="14" y="22">{html.escape(title)}</text>',
        f'<text class="faint" x="14" y="41">{html.escape(subtitle)}</text>',
    ]
    for at, name in enumerate(legend):
        x = LABELS + 140 * at
        lines.append(f'<rect class="{name.lower()}" x="{x}" y="31" width="11" height="11"/><text x="{x + 17}" y="41">{name}</text>')
    for at, (label, parts, text) in enumerate(bars):
        y, x = TOP + at * (BAR + GAP), float(LABELS)
        lines.append(f'<text x="{LABELS - 8}" y="{y + 14}" text-anchor="end">{html.escape(label)}</text>')
        for kind, length in parts:
            wide = length * scale
            lines.append(f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{BAR}"/>')
            x += wide
        line = LABELS + (mark or 0) * scale
        # Not under the line.
        x = line if x < line < x + 50 else x
        lines.append(f'<text x="{x + 6:.1f}" y="{y + 14}">{html.escape(f"{text} {unit}".strip())}</text>')
    if mark:
        x = LABELS + mark * scale
        lines.append(f'<line class="line" x1="{x:.1f}" y1="{TOP - 4}" x2="{x:.1f}" y2="{height - 12}" stroke-width="2"/>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def middles(row):
    return [statistics.median(figures) for figures in row.series]


SPEEDS = {
    "default": ("ours", "default settings"),
    "best": ("ours", "--concurrency 4000"),
    "best_no_events": ("ours", "--concurrency 4000 --events off"),
    "embedded": ("ours", "embedded, default settings"),
    "one": ("ours", "--concurrency 1"),
    "ceiling": ("ceiling", "ceiling: SQL alone, the same rows"),
    "ceiling_no_events": ("ceiling", "ceiling with events off"),
    "bullmq": ("peer", None),
    "apalis_redis": ("peer", None),
    "apalis_postgres": ("peer", None),
    "rust_loop": ("peer", None),
    "go_loop": ("peer", None),
}
CONDITIONS = {
    "workers": ["2 workers in sum, against one", "4 workers in sum, against one"],
    "queued": ["a long queue, against a short one"],
    "rows": ["a table with a history, against a new one"],
    "shuffled": ["shuffled ids"],
    "checkpoint": ["a checkpoint in the middle"],
    "horizon": ["a horizon pinned for minutes"],
    "scraped": ["a scrape each second"],
    "viewers": ["50 people follow the page"],
    "traces_silent": ["traces to a collector that never answers"],
    "traces_few": ["traces of one attempt in a hundred"],
    "traces_all": ["traces of every attempt"],
}


def draw(rows):
    """Each chart that these rows, by key, have figures for: its name and SVG."""
    drawn = {}
    speeds = [
        (name or rows[key].what, [(kind, middles(rows[key])[0])], number(middles(rows[key])[0]))
        for key, (kind, name) in SPEEDS.items()
        if key in rows
    ]
    if speeds:
        drawn["speed"] = chart("Orders per second", "work that takes no time, medians", speeds, "")
    parts = ["worker", "redis", "postgres"]
    costs = [
        (label, list(zip(parts, cost)), number(sum(cost)))
        for key, label in (("default_cpu", "default settings"), ("best_cpu", "--concurrency 4000"), ("ceiling_cpu", "ceiling"))
        if key in rows
        for cost in [([0.0] * 3 + middles(rows[key]))[-3:]]
    ]
    if costs:
        drawn["processor"] = chart("Processor time an order", "µs, medians", costs, "µs", legend=("Worker", "Redis", "Postgres"))
    times = [
        (label, [("ours", figure)], number(figure))
        for key, labels in CONDITIONS.items()
        if key in rows
        for label, figure in zip(labels, middles(rows[key]))
    ]
    if times:
        drawn["conditions"] = chart("Under hard conditions", "orders per second, as a share of those without", times, "", mark=1.0)
    return drawn
