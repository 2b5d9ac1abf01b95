"""Run benchmarks: ``python -m bench [NAME ...] [--quick | --full] [--write-results] [--list]``.

Without names all of them run. Every figure is printed with its target and PASS or MISS; a miss does not change the exit
code, which is 1 only when the work itself failed. Runs at full scale keep their raw results in ``bench/results/``.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from dataclasses import replace
from importlib import import_module

from bench.harness import Report, Row, machine, say, summary
from bench.lab import SCALES, Lab
from bench.page import write_page

BENCHMARKS = {
    "append": ("bench.append", "one append: latency and requests, by size of the namespace, beside the legacy design"),
    "burst": ("bench.burst", "100 threads and 100 tasks, one append each"),
    "burst-s3": (
        "bench.cold_burst",
        "cold bursts of 11 to 500 creates into the large namespace; an idle daemon's bill",
    ),
    "drivers": ("bench.drivers", "CPU of a request by S3 driver, against a server that answers at once; group commit"),
    "sync": ("bench.sync", "4 and 16 syncs at once into the large namespace, beside the legacy design"),
    "idle": ("bench.idle", "a sync with nothing new"),
    "pull": ("bench.pull", "pulls of many small files beside aws, s5cmd and rclone; of ten changes in a large tree"),
    "start": ("bench.start", "start-up of the command, one put"),
    "import": ("bench.importing", "import of the large legacy index, look-ups in it"),
    "change7": ("bench.change7", "seven changes in the large namespace: append, fold, merge"),
    "update": ("bench.update", "one update, uncontended; commits per second of the commit lane"),
    "counter": ("bench.counter", "100 processes and 100 threads increment one counter"),
    "queue": ("bench.queueing", "next grant after a death, admission, requests of a queue"),
    "storm": ("bench.storm", "10 signals into 200 streams, 8 times"),
    "lanes": ("bench.lanes", "small records appended to one log on one disk, beside SQLite, LMDB, RocksDB and Redis"),
    "formats": ("bench.formats", "one append on object storage beside deltalake, icechunk and slatedb"),
    "audited": ("bench.audited", "what the decorator adds to a call and the write of its record"),
    "legacy": ("bench.legacy", "a write, a gc of 7, 4 and 16 syncs: ours and the legacy design on the same entries"),
    "merging": ("bench.merging", "appends at a pace while another process merges everything"),
    "gc": ("bench.gc", "a gc of 7 and of 100,000 expired entries of the large namespace"),
    "tracing": ("bench.tracing", "what it costs to see where time goes, also with exporters that hang"),
    "throughput": ("bench.throughput", "fold, merge, scan and point reads per core; a manifest beside JSON and SQLite"),
    "growth": ("bench.growth", "how cost grows with the manifest (with --full up to ten million entries)"),
    "audit": ("bench.audit", "audit writes beside a lock and merges, through an outage; a million of them"),
    "suite": ("bench.suite", "the everyday tests (with --full)"),
}

BUSY_LOAD = 1.0


def main(argv: list[str] | None = None) -> int:
    """The command line; the exit code."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--quick", action="store_true", help="small scale: does it work? (results are not kept)")
    parser.add_argument("--full", action="store_true", help="also a million entries, 262,000 real objects, the tests")
    parser.add_argument("--rounds", type=int, default=0, help="repeat so often instead of the scale's own number")
    parser.add_argument("--write-results", action="store_true", help="make bench/RESULTS.md of the kept results")
    chosen = parser.parse_args(argv)
    unknown = [name for name in chosen.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no such benchmark: {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if chosen.list:
        for name, (_, text) in BENCHMARKS.items():
            print(f"{name:10} {text}")
        return 0
    if chosen.write_results and not chosen.names:
        print(f"wrote {write_page().name}")
        return 0
    scale = "quick" if chosen.quick else "full" if chosen.full else "normal"
    code = run(chosen.names or list(BENCHMARKS), scale, chosen.rounds)
    if chosen.write_results:
        print(f"wrote {write_page().name}")
    return code


def run(names: list[str], scale: str, rounds: int = 0) -> int:
    """Run benchmarks one after the other in one session; 1 if one of them broke down. ``rounds`` 0: the scale's own."""
    size = SCALES[scale]
    facts = machine()
    print(", ".join(f"{name} {value}" for name, value in facts.items() if value), f"- scale {scale}")
    if os.getloadavg()[0] > BUSY_LOAD:
        print(f"the machine is busy (load {os.getloadavg()[0]:.1f}): times and ratios below mean little")
    rows: list[Row] = []
    broken: list[str] = []
    with Lab(replace(size, rounds=rounds or size.rounds)) as lab:
        for name in names:
            print(f"\n{name}: {BENCHMARKS[name][1]}", flush=True)
            report = Report(name, scale)
            try:
                import_module(BENCHMARKS[name][0]).run(lab, report)
            except Exception:  # noqa: BLE001 (the others still run; the exit code tells)
                traceback.print_exc()
                broken.append(name)
                continue
            finally:
                rows += report.rows
            if scale != "quick" and report.rows:
                say(f"kept {report.keep().name}")
    print(f"\n{summary(rows)}")
    if scale == "quick":
        print("\nquick: small inputs, few runs; the verdicts are those of the full targets and mean little")
    if broken:
        print(f"\nbroke down: {', '.join(broken)}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
