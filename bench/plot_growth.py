"""Draws docs/explanation/plots/cost-by-entries.svg of the kept results: ``python -m bench.plot_growth``.

Two panels over the number of entries, both axes logarithmic: times, and bytes that a round of compaction rewrites.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence

from bench.harness import RESULTS

OUT = RESULTS.parent.parent / "docs" / "explanation" / "plots" / "cost-by-entries.svg"
LINES = {
    "ms": {
        "open a namespace": "open",
        "one cold look-up": "cold look-up",
        "append of 7 changes": "7 changes everywhere: append",
        "7 changes, all the way down": "7 changes everywhere: round",
        "round after 2,000 changes": "2,000 changes everywhere: round",
        "everything rewritten": "everything rewritten",
    },
    "bytes": {
        "the manifest": "manifest",
        "rewritten for 2,000 changes": "2,000 changes everywhere: rewritten",
        "rewritten for 7 changes": "7 changes everywhere: rewritten",
    },
}
COLOURS = ("#1b6ca8", "#d1495b", "#2e8b57", "#8d6a9f", "#c98a1b", "#555555")
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 560, 320, 70, 40, 50, 190
_AT = re.compile(r"^(.*) at ([\d,]+) entries$")
_TO_MS = {"ms": 1.0, "s": 1000.0, "bytes": 1.0, "entries/s": 1.0}

Series = dict[str, list[tuple[int, float]]]


def kept() -> Series:
    """Figures by name: ``(entries, value)`` in rising order; times in ms."""
    found: Series = {}
    for line in (RESULTS / "growth.jsonl").read_text().splitlines()[1:]:
        row = json.loads(line)
        match = _AT.match(row["text"])
        if match:
            entries = int(match[2].replace(",", ""))
            found.setdefault(match[1], []).append((entries, row["value"] * _TO_MS.get(row["unit"], 1.0)))
    return {name: sorted(points) for name, points in found.items()}


def panel(title: str, unit: str, lines: dict[str, list[tuple[int, float]]], left: int) -> str:
    """One panel, as SVG."""
    points = [point for line in lines.values() for point in line if point[1] > 0]
    x_low, x_high = _decades(x for x, _ in points)
    y_low, y_high = _decades(y for _, y in points)

    def x(value: float) -> float:
        return left + LEFT + (math.log10(value) - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (y_high - math.log10(value)) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    out = [f'<text x="{left + LEFT}" y="22" font-weight="bold">{title}</text>']
    for power in range(x_low, x_high + 1):
        out.append(_rule(x(10**power), TOP, x(10**power), HEIGHT - BOTTOM))
        out.append(_text(x(10**power), HEIGHT - BOTTOM + 18, _short(10**power), "middle"))
    out.append(_text((x(10**x_low) + x(10**x_high)) / 2, HEIGHT - BOTTOM + 38, "entries in the manifest", "middle"))
    for power in range(y_low, y_high + 1):
        out.append(_rule(x(10**x_low), y(10**power), x(10**x_high), y(10**power)))
        out.append(_text(x(10**x_low) - 6, y(10**power) + 4, f"{_short(10**power)} {unit}", "end"))
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number]
        good = [(at, value) for at, value in line if value > 0]
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in good)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>' for at, value in good]
        row = TOP + 10 + number * 20
        out.append(f'<rect x="{left + WIDTH - RIGHT + 12}" y="{row - 8}" width="12" height="4" fill="{colour}"/>')
        out.append(_text(left + WIDTH - RIGHT + 30, row, name, "start"))
    return "\n".join(out)


def _decades(values: Iterable[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return low, max(high, low + 1)


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _short(value: float) -> str:
    for size, mark in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {mark}"
    return f"{value:g}"


def draw(series: Series) -> str:
    """The whole picture."""
    panels: Sequence[tuple[str, str]] = (("time", "ms"), ("bytes", "bytes"))
    inner = [
        panel(
            title,
            "ms" if unit == "ms" else "B",
            {text: series[name] for text, name in LINES[unit].items() if name in series},
            at * WIDTH,
        )
        for at, (title, unit) in enumerate(panels)
    ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="white"/>'
    )
    return "\n".join([head, *inner, "</svg>\n"])


if __name__ == "__main__":
    OUT.write_text(draw(kept()))
    print(f"wrote {OUT.name}")
