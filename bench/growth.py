"""How cost grows with the manifest: opening it, looking a key up, changing a little, changing much, reading all of it.

Manifests are made directly, a batch in memory at a time, and deleted before the next one is made. ``--full`` goes up to
ten million entries; the page docs/explanation/cost-and-scale.md draws what was kept.
"""

from __future__ import annotations

import shutil
from typing import Any

from bench.children import run_job
from bench.harness import Report
from bench.lab import NAMESPACE, Lab

SIZES = {"quick": (2_000, 20_000), "normal": (10_000, 100_000, 1_000_000)}
SIZES["full"] = (*SIZES["normal"], 10_000_000)
FEW, MANY, ROUNDS = 7, 2_000, 12
"""Few changes are merged at once, many when a daemon finds that it is due."""
LARGE = 10_000_000


def run(lab: Lab, report: Report) -> None:
    """Every size in a local store of its own; every figure from a process of its own."""
    for entries in SIZES[lab.scale.name]:
        place = lab.folder(f"growth{entries}")

        def job(name: str, place: Any = place, **args: Any) -> Any:
            return run_job(f"manifest:{name}", lab.env, url=str(place), namespace=NAMESPACE, timeout_s=1800, **args)[
                "value"
            ]

        try:
            _measure(report, entries, job)
        finally:
            shutil.rmtree(place)


def _measure(report: Report, entries: int, job: Any) -> None:
    at = f"at {entries:,} entries"
    made = job("generate", entries=entries)
    report.info(
        f"manifest {at}", made["bytes"], "bytes", note=f"{made['shards']} shards, made with {made['peak_mb']:.0f} MB"
    )
    found = job("opening", entries=entries)
    grown = f"grew by {found['open_mb']:.1f} MB to {found['whole_mb']:.0f} MB, interpreter and libraries included"
    if entries >= LARGE:
        report.target("open-large", found["open_ms"], note=grown)
        report.target(
            "open-large-memory", found["whole_mb"], note=f"the whole process; it grew by {found['open_mb']:.1f} MB"
        )
    report.info(f"open {at}", found["open_ms"], "ms", note=grown)
    report.info(f"cold look-up {at}", found["cold_ms"], "ms", figure="median", note="a client that knows nothing")
    for count in (FEW, MANY):
        done = job("changes", entries=entries, count=count, rounds=ROUNDS, full=count == FEW)
        note = f"{done['middle']} merges in the middle, {done['bottom']} to the bottom, {done['runs']} runs of level 0"
        report.info(f"{count:,} changes everywhere: append {at}", done["append_s"] / ROUNDS * 1000, "ms", figure="mean")
        report.info(
            f"{count:,} changes everywhere: round {at}", done["work_s"] / ROUNDS * 1000, "ms", figure="mean", note=note
        )
        report.info(f"{count:,} changes everywhere: rewritten {at}", done["written"] / ROUNDS, "bytes", figure="mean")
    read = job("scan")
    report.info(f"scan {at}", read["cpu"], "entries/s", note=f"peak {read['peak_mb']:.0f} MB")
    merged = job("rewrite", entries=entries, every=100)
    report.info(
        f"everything rewritten {at}",
        merged["seconds"],
        "s",
        note=f"{merged['cpu']:,.0f} entries/s per core, peak {merged['peak_mb']:.0f} MB",
    )
