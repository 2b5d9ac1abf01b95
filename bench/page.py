"""``bench/RESULTS.md``, made of the raw results that are kept in ``bench/results/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.harness import RESULTS, Row, bound, show
from bench.targets import TARGETS

PAGE = RESULTS.parent / "RESULTS.md"

_HEAD = """# Results

One row per target, then everything else that was measured. The page is made of the raw results in `bench/results/`
by `python -m bench --write-results`; a benchmark that has not been run at full scale has no figure here. Proofs are no
benchmarks: what they printed is copied into the raw results by hand.
"""

_MEANING = """## What the figures mean

Work runs in processes of its own, and alternatives take turns within one session. S3 is a strict emulator on loopback
behind a proxy that holds every request for 20 ms. Client processes, the emulator, the proxy and the compactor share the
same few processors, so figures of many processes at once carry the cost of all of them: against a real bucket they
would carry less. "Lone" and "at once" figures are taken in the same session, and the ratio between them is what counts.
"Released together" is the time between a barrier, at which every process has loaded its program and opened its
connection, and its own end; a figure "with start-up" runs from the first process's start to the last one's end. The
legacy design is measured in its best light (fastest JSON library at hand, writers let in by the kernel instead of a
polled lock, parallel uploads); "bare" is one without its indentation and its lock object, too. Percentiles are exact
order statistics of all samples; a maximum is shown where the target speaks of the slowest. Local figures include the
syncs to disk that make a write durable.
"""


def write_page() -> Path:
    """Write the page; its path."""
    PAGE.write_text(render())
    return PAGE


def render() -> str:
    """The page as text."""
    runs = _runs()
    rows = {row.name: (row, head) for head, several in runs for row in several}
    lines = [
        _HEAD,
        "## Targets",
        "",
        "| target | bound | measured | runs | command | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for target in TARGETS.values():
        row, head = rows.get(target.name, (None, {}))
        full = " --full" if head.get("scale") == "full" or target.name in ("import-objects", "make-test") else ""
        command = f"`{target.command or f'python -m bench {target.bench}{full}'}`"
        if row is None:
            lines.append(f"| {target.text} | {bound(target)} | not measured | | {command} | |")
            continue
        note = f"; {row.note}" if row.note else ""
        measured = f"{show(row.value, row.unit)} ({row.figure}){note}"
        verdict = "pass" if row.verdict == "PASS" else "**miss**"
        lines.append(f"| {row.text} | {row.bound} | {_cell(measured)} | {row.count} | {command} | {verdict} |")
    lines += [
        "",
        "## Other figures",
        "",
        "| benchmark | figure | measured | runs | compared |",
        "|---|---|---|---|---|",
    ]
    for _, several in runs:
        for row in several:
            if not row.verdict:
                note = f"; {row.note}" if row.note else ""
                measured = f"{show(row.value, row.unit)} ({row.figure}){note}"
                compared = f"{row.ratio:,.3g} x {row.ratio_of}" if row.ratio is not None else ""
                cells = (row.bench, _cell(row.text), _cell(measured), str(row.count), _cell(compared))
                lines.append(f"| {' | '.join(cells)} |")
    lines += ["", _MEANING, "## Measured on", ""]
    lines += [f"- {_about(head)}" for head, _ in runs] or ["- nothing yet"]
    return "\n".join(lines) + "\n"


def _runs() -> list[tuple[dict[str, Any], list[Row]]]:
    found = []
    order = list(dict.fromkeys(target.bench for target in TARGETS.values()))
    place = {name: number for number, name in enumerate(order)}
    paths = sorted(RESULTS.glob("*.jsonl"), key=lambda path: (place.get(path.stem, len(place)), path.stem))
    for path in paths:
        head, *rows = (json.loads(text) for text in path.read_text().splitlines())
        found.append((head, [Row(**row) for row in rows]))
    return found


def _about(head: dict[str, Any]) -> str:
    return (
        f"{head['run']} ({head['scale']} scale): {head['when']}, commit {head['commit']}; {head['cpus']} x {head['cpu']}, "
        f"{head['memory_gb']} GB, {head['system']}, Python {head['python']}, botocore {head['botocore']}; load before it "
        f"{head['load_before']}; a shared virtual machine"
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
