"""The plots of ``docs/explanation/plots/``, made of the raw results: ``.venv-peers/bin/python -m bench.plots``.

Only what was measured is drawn; a benchmark without kept results leaves its plot as it was. matplotlib is not among the
tools of the tests, so this runs in the environment of the programs that are compared (``make plots``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PLOTS = RESULTS.parent.parent / "docs" / "explanation" / "plots"

OURS = "swampstore"
_COLOURS = {
    OURS: "#2563eb", "raw file": "#9ca3af", "SQLite": "#d97706", "LMDB": "#059669", "RocksDB": "#7c3aed",
    "Redis": "#dc2626", "legacy": "#b91c1c",
}  # fmt: skip

Points = list[tuple[float, float]]


def main() -> None:
    """Draw every plot there are results for."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": OURS, "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    PLOTS.mkdir(exist_ok=True)
    by_writers(rows("lanes"))
    by_size(rows("append"))
    crowds(rows("legacy"))
    copies(rows("pull"))


def rows(bench: str) -> list[dict[str, Any]]:
    """The rows of the last kept run of a benchmark; none if it was never run at full scale."""
    path = RESULTS / f"{bench}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def by_writers(found: Sequence[dict[str, Any]]) -> None:
    """Throughput, and p99, of durable appends by the number of writers."""
    rate: dict[str, Points] = {}
    p99: dict[str, Points] = {}
    for row in found:
        named = re.fullmatch(r"durable, (\d+) writers: (.+)", row["text"])
        if named:
            rate.setdefault(named[2], []).append((int(named[1]), row["value"]))
            told = re.search(r"p99 ([\d.,e+-]+) ms", row["note"])
            if told:
                p99.setdefault(named[2], []).append((int(named[1]), float(told[1].rstrip(","))))
    draw("throughput-by-writers", rate, "writer processes", "durable appends a second")
    draw("p99-by-writers", p99, "writer processes", "p99 of a durable append, ms")


def by_size(found: Sequence[dict[str, Any]]) -> None:
    """What one append takes by the size of the namespace, here and in the design this one replaces."""
    lines: dict[str, Points] = {}
    for row in found:
        named = re.fullmatch(r"one append(, | the legacy way, )(local|S3) ([\d,]+) entries", row["text"])
        if named:
            name = f"{'legacy' if 'legacy' in named[1] else OURS}, {named[2]}"
            lines.setdefault(name, []).append((int(named[3].replace(",", "")), row["value"]))
    draw("append-by-size", lines, "entries in the namespace", "one append, ms (median)")


def crowds(found: Sequence[dict[str, Any]]) -> None:
    """The slowest of several syncs at once, ours and the legacy design."""
    bars: list[tuple[str, float, float]] = []
    for row in found:
        told = re.match(r"ours ([\d.e+-]+) s, legacy ([\d.e+-]+) s", row["note"])
        if told:
            bars.append((row["text"].split(":")[0], float(told[1]), float(told[2])))
    if bars:
        names = [name for name, _, _ in bars]
        series = {OURS: [ours for _, ours, _ in bars], "legacy": [old for _, _, old in bars]}
        draw_bars("ours-and-legacy", names, series, "seconds, S3 with 20 ms a request")


def copies(found: Sequence[dict[str, Any]]) -> None:
    """The first pull of many small files, beside programs that copy."""
    start = "first pull of 10,000 files of 1,000 bytes: "
    taken = [(row["text"].removeprefix(start), row["value"]) for row in found if row["text"].startswith(start)]
    if taken:
        names = [name.replace("swamp datastore sync --pull", "swamp") for name, _ in taken]
        draw_bars("first-pull", names, {"seconds": [value for _, value in taken]}, "first pull of 10,000 x 1 KB, s")


def draw(name: str, lines: dict[str, Points], across: str, up: str) -> None:
    """A plot of lines, both axes logarithmic."""
    if not lines:
        return
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for label, points in lines.items():
        points.sort()
        alone = {"marker": "o"} if len(points) == 1 else {"marker": "o", "linewidth": 1.6}
        first = label.split(",", maxsplit=1)[0]
        style = "--" if label.endswith("S3") else "-"
        axes.plot(*zip(*points, strict=True), style, label=label, color=_COLOURS.get(first), **alone)
    axes.set(xscale="log", yscale="log", xlabel=across, ylabel=up)
    ticks = sorted({x for points in lines.values() for x, _ in points})
    axes.set_xticks(ticks, [f"{x:,.0f}" for x in ticks])
    axes.minorticks_off()
    axes.legend(frameon=False, fontsize=8)
    save(figure, name)


def draw_bars(name: str, names: Sequence[str], series: dict[str, Sequence[float]], up: str) -> None:
    """Bars side by side, the axis logarithmic, each with its figure."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    width = 0.8 / len(series)
    for at, (label, values) in enumerate(series.items()):
        places = [x + (at - (len(series) - 1) / 2) * width for x in range(len(names))]
        bars = axes.bar(places, values, width, label=label, color=_COLOURS.get(label, _COLOURS[OURS]))
        axes.bar_label(bars, [f"{value:.3g}" for value in values], fontsize=8)
    axes.set(yscale="log", ylabel=up)
    axes.set_xticks(range(len(names)), names)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    save(figure, name)


def save(figure: Any, name: str) -> None:
    """Write the plot, the same bytes for the same figures, on a ground that is read in the light and in the dark."""
    path = PLOTS / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None}, facecolor="white")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    main()
