"""How fast the background half and the readers are: fold, merge, scan, look-ups; and one manifest beside its like.

Rates per core are counts by processor time of one process that does nothing else; those by the clock stand beside them.
"""

from __future__ import annotations

import shutil
from typing import Any

from bench.children import run_job
from bench.harness import Report, interleaved, median
from bench.lab import NAMESPACE, Lab

LANES = 32
PEER_ENTRIES = 500_000


def run(lab: Lab, report: Report) -> None:
    """Local stores; every figure from processes of its own."""
    entries = lab.scale.entries
    place = _filled(lab, entries)
    rounds = min(lab.scale.rounds, 3)

    def job(name: str, **args: Any) -> Any:
        return run_job(f"manifest:{name}", lab.env, namespace=NAMESPACE, timeout_s=900, **args)["value"]

    found = interleaved(
        rounds,
        {
            "fold": lambda _: job("fold", url=lab.new_store("fold", s3=False), deltas=entries, batch=10_000),
            "small": lambda _: job("fold", url=lab.new_store("fold", s3=False), deltas=min(entries, 3_000), batch=1),
            "scan": lambda _: job("scan", url=place),
            "merge": lambda turn: job("rewrite", url=place, entries=entries, every=100 - turn),
        },
    )
    for name, target, text in (
        ("fold", "fold-rate", "segments of 10,000"),
        ("scan", "scan-rate", f"{entries:,} entries with all their fields"),
        ("merge", "merge-rate", "one change in a hundred entries: every block rewritten"),
    ):
        _rate(report, target, found[name], text)
    _rate(report, "", found["small"], "fold of segments of one record")
    raw = [one["records_cpu"] for one in found["scan"]]
    report.info("scan of records, values not looked into", median(raw), "records/s", figure="median", samples=raw)
    report.info("merge: peak memory", max(one["peak_mb"] for one in found["merge"]), "MB", figure="max")
    reads = [job("points", url=_copied(lab, place), entries=entries, lanes=LANES, reads=50_000) for _ in range(rounds)]
    _wall(report, "warm-reads", [one["open"] for one in reads], [one["open_cpu"] for one in reads])
    _wall(report, "strict-reads", [one["strict"] for one in reads], [one["strict_cpu"] for one in reads])
    _peers(lab, report, rounds, job)


def _filled(lab: Lab, entries: int) -> str:
    place = str(lab.folder("manifest"))
    lab.job("manifest:generate", url=place, namespace=NAMESPACE, entries=entries, timeout_s=900)
    return place


def _copied(lab: Lab, place: str) -> str:
    """A store of its own for a job that leaves lanes in the log: the next would find those as well."""
    return str(shutil.copytree(place, lab.folder("copy") / "store"))


def _rate(report: Report, target: str, found: list[dict[str, float]], text: str) -> None:
    cpu, wall = [one["cpu"] for one in found], median([one["wall"] for one in found])
    note = f"{text}; by the clock {wall:,.0f}/s" if target else f"by the clock {wall:,.0f}/s"
    if target:
        report.target(target, median(cpu), figure="median", samples=cpu, note=note)
    else:
        report.info(text, median(cpu), "deltas/s", figure="median", samples=cpu, note=note)


def _wall(report: Report, target: str, wall: list[float], cpu: list[float]) -> None:
    note = f"by processor time {median(cpu):,.0f}/s"
    report.target(target, median(wall), figure="median", samples=wall, note=note)


def _peers(lab: Lab, report: Report, rounds: int, job: Any) -> None:
    """The same entries as JSON, in SQLite and in a manifest: bytes, and one key by a process that knows nothing."""
    entries = PEER_ENTRIES if lab.scale.entries > 100_000 else lab.scale.entries
    ours, theirs = _filled(lab, entries), str(lab.folder("peers"))
    sizes = lab.job("manifest:peer_files", folder=theirs, entries=entries, timeout_s=900)

    def peer(name: str) -> float:
        args = {"folder": theirs, "entries": entries, "peer": name}
        return float(run_job("manifest:peer_lookup", lab.env, timeout_s=300, **args)["value"])

    found = interleaved(
        rounds,
        {
            "ours": lambda _: job("opening", url=ours, entries=entries),
            "json": lambda _: peer("json"),
            "sqlite": lambda _: peer("sqlite"),
        },
    )
    size = job("status", url=ours)
    cold = [one["cold_ms"] for one in found["ours"]]
    report.target(
        "manifest-bytes", size / sizes["json"], note=f"{entries:,} entries, {size:,} of {sizes['json']:,} bytes"
    )
    report.info("manifest over SQLite, bytes", size / sizes["sqlite"], "x", note=f"{sizes['sqlite']:,} bytes")
    report.target("manifest-cold", median(cold), figure="median", samples=cold, note="client, root, index and block")
    for name in ("json", "sqlite"):
        times: list[Any] = found[name]
        text = f"one cold key: {name}"
        report.info(
            text,
            median(times),
            "ms",
            figure="median",
            samples=times,
            ratio=median(times) / median(cold),
            ratio_of="ours",
        )
