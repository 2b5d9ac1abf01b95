"""Audit records: never blocked by locks and merges, never lost in an outage, cheap by the million."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

from bench.cable import Cable
from bench.children import Child
from bench.cli import swamp
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab
from bench.servers import BUCKET

_RATE = 50.0
_BEFORE_S, _AFTER_S, _WAIT_S = 4.0, 4.0, 30.0


def run(lab: Lab, report: Report) -> None:
    """Beside a held lock and merges; through an outage; a million records; from a shell."""
    quick = lab.scale.name == "quick"
    _beside_a_lock(lab, report, 100 if quick else 1000, 5.0 if quick else 50.0)
    _outage(lab, report, 6.0 if quick else 60.0)
    _million(lab, report, 30_000 if quick else 1_000_000)
    _shell(lab, report)


def _beside_a_lock(lab: Lab, report: Report, count: int, seconds: float) -> None:
    for s3, target in ((True, "audit-p99-s3"), (False, "audit-p99-local")):
        url = lab.new_store("audit", s3=s3)
        lab.job("counter:begin", url=url, namespace=NAMESPACE)
        args = {"url": url, "namespace": NAMESPACE}
        with contextlib.ExitStack() as stack:
            children = [
                stack.enter_context(Child(job, one, lab.env, timeout_s=seconds + 120))
                for job, one in (
                    ("audit:hold", args),
                    ("audit:merge", args),
                    ("audit:write", args | {"count": count, "seconds": seconds}),
                )
            ]
            for child in children:
                child.ready()
            for child in children:
                child.go()
            held, merging, writing = children
            value = writing.result()["value"]
            merging.stop()
            merges = merging.result()["value"]
            held.stop()
        faults = value["spooled"] + abs(value["found"] - count - 1)
        note = f"median {median(value['ms']):.3g} ms, {merges} merges meanwhile, {faults} spooled or missing"
        report.target(target, percentile(value["ms"], 0.99), figure="p99", samples=value["ms"], note=note)


def _outage(lab: Lab, report: Report, seconds: float) -> None:
    place = lab.fresh("outage")
    with Cable(lab.s3.far_port) as cable:
        url = f"s3://{BUCKET}/{place}?endpoint=http://127.0.0.1:{cable.port}&path_style=true&region=us-east-1"
        args = {"url": url, "namespace": NAMESPACE, "rate": _RATE, "wait_s": _WAIT_S}
        whole = _BEFORE_S + seconds + _AFTER_S
        times: dict[str, float] = {}

        def cut() -> None:
            time.sleep(_BEFORE_S)
            cable.cut()
            times["cut"] = time.monotonic()
            time.sleep(seconds)
            times["mended"] = time.monotonic()
            cable.mend()

        with Child("audit:outage", args | {"seconds": whole}, lab.env, timeout_s=whole + 120) as child:
            child.ready()
            thread = threading.Thread(target=cut)
            child.go()
            thread.start()
            value = child.result()["value"]
            thread.join()
    found = lab.job("audit:found", url=lab.s3.url(place, far=False), namespace=NAMESPACE)
    _judge(report, value, found, times, int(_RATE * whole))


def _judge(report: Report, value: dict[str, Any], found: dict[str, Any], times: dict[str, float], wrote: int) -> None:
    acks = value["acks"]
    ids = {ack[2] for ack in acks}
    lost = len(ids - set(found["ids"])) + len(value["errors"]) + wrote - len(acks)
    doubled = len(found["ids"]) - len(set(found["ids"]))
    spooled = [ack for ack in acks if ack[3]]
    wrong = sum(1 for began, ended, _, waits in acks if not waits and began > times["cut"] and ended < times["mended"])
    note = f"{len(acks)} writes, {len(spooled)} spooled, at most {value['most']} waiting; {found['commits']} commits"
    report.target("audit-outage-lost", lost, note=note)
    report.target("audit-outage-doubled", doubled)
    report.target("audit-outage-acks", wrong, note="acknowledged as delivered while the store was away")
    drained = value["drained"] - times["mended"] if value["drained"] else _WAIT_S
    report.target("audit-outage-drained", max(drained, 0.0))
    took = [(ended - began) * 1000 for began, ended, _, waits in acks if waits]
    if took:
        report.spread("one write while the store is away", took, "ms", note="the first ones wait 2 s for it")


def _million(lab: Lab, report: Report, count: int) -> None:
    value = lab.job(
        "audit:million", timeout_s=600, url=str(lab.folder("million")), namespace=NAMESPACE, count=count, scans=7
    )
    report.target("audit-manifest", value["manifest"])
    report.target("audit-root", value["grown"], note=f"{value['records']:,} records in {value['files']} files")
    share = f"{value['hour']:,} records; {value['files']} files there are"
    report.info("requests of a query of an hour of a topic", value["gets"], "requests", note=share)
    scans = [5e6 / rate for rate in value["rates"]]
    note = f"{median(value['rates']) / 1e6:.3g} M records/s"
    report.target("audit-scan", median(scans), figure="median", samples=scans, note=note)
    report.info("bytes of an archived record", value["bytes"] / max(value["records"], 1), "bytes/record")
    report.info("writing and archiving", value["records"] / value["wrote_s"], "records/s")
    report.info("`select count(*) from audit`, each record once", value["sql_s"], "s", note=f"{value['sql']:,} records")


def _shell(lab: Lab, report: Report) -> None:
    store = str(lab.folder("store"))
    append = ["audit", "append", "decisions", "--text", "x", "--namespace", NAMESPACE, "--store", store]
    commands = {"python": [sys.executable, "-c", "pass"], "append": [*swamp(), *append]}
    timed = {name: partial(_timed, lab, command) for name, command in commands.items()}
    for once in timed.values():
        once(0)
    found = interleaved(lab.scale.starts, timed)
    bare = median(found["python"])
    note = f"{median(found['append']) / bare:.2g} x an interpreter that does nothing"
    report.target("audit-shell", median(found["append"]), figure="median", samples=found["append"], note=note)


def _timed(lab: Lab, command: list[str], turn: int) -> float:  # noqa: ARG001
    began = time.perf_counter()
    done = subprocess.run(command, env=lab.env, capture_output=True, text=True, timeout=60, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise AssertionError(f"{command[-8:]} ended with code {done.returncode}: {done.stderr[-500:]}")
    return seconds
