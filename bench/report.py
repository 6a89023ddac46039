"""Rows of figures: as a Markdown table, as JSON, and against a baseline."""

import dataclasses
import statistics

# A ratio to the ceiling below so much of the committed one is a regression.
LEAST_OF_BASELINE = 0.85
# What the guard looks at, by key: `make bench` measures all of it.
GUARDED = ("default", "best", "best_no_events")


@dataclasses.dataclass
class Row:
    """One line: what was measured, in how many rounds, and what was hoped for."""

    key: str
    what: str
    unit: str = "orders/s"
    # A list of figures, one a round, for each of the line's quantities.
    series: list = dataclasses.field(default_factory=list)
    # To the ceiling of the same round.
    ratios: list = dataclasses.field(default_factory=list)
    # ("≥", 0.5), one for each quantity; of the ratio where there is one, else of the figures.
    goals: list = dataclasses.field(default_factory=list)
    note: str = ""
    missing: str = ""

    def met(self):
        """Whether every goal is; None without one, or without figures."""
        judged = [self.ratios] if self.ratios else self.series
        if not self.goals or not judged:
            return None
        middles = [statistics.median(figures) for figures in judged]
        return all(middle >= goal if sign == "≥" else middle <= goal for middle, (sign, goal) in zip(middles, self.goals))


def number(value):
    """With as many digits as say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(figures):
    return f"{number(min(figures))}–{number(max(figures))}" if len(figures) > 1 else ""


def joined(texts):
    return " · ".join(text for text in texts if text)


def table(rows):
    """Markdown, which also reads as it is."""
    lines = ["| what | median | spread | of the ceiling | goal | met |", "|---|---|---|---|---|---|"]
    for row in rows:
        if row.missing:
            lines.append(f"| {row.what} | not measured: {row.missing} | | | | |")
            continue
        middle = joined(number(statistics.median(figures)) for figures in row.series) + f" {row.unit}"
        ratio = f"{statistics.median(row.ratios):.2f} ({spread(row.ratios) or 'one round'})" if row.ratios else ""
        goal = joined(f"{sign} {limit:g}" for sign, limit in row.goals)
        met = {None: "", True: "yes", False: "**no**"}[row.met()]
        what = f"{row.what}; {row.note}" if row.note else row.what
        lines.append(f"| {what} | {middle} | {joined(map(spread, row.series))} | {ratio} | {goal} | {met} |")
    return "\n".join(lines)


def ratios(rows):
    """What the guard compares: medians of the ratios to the ceiling, by the line's key."""
    return {row.key: round(statistics.median(row.ratios), 3) for row in rows if row.ratios and row.key in GUARDED}


def regressions(measured, baseline):
    """What is wrong with these ratios to the ceiling, a sentence each; none if nothing is."""
    said = []
    for key, before in sorted(baseline.items()):
        now, least = measured.get(key), before * LEAST_OF_BASELINE
        if now is None:
            said.append(f"{key}: not measured, and {before:.3f} of the ceiling in the baseline")
        elif now < least:
            said.append(f"{key}: {now:.3f} of the ceiling, less than {least:.3f}, which is {LEAST_OF_BASELINE} of the baseline")
    return said
