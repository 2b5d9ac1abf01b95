"""Ours and the design it replaces on the same entries, in one session: a write, a gc of 7, 4 and 16 syncs at once.

The legacy design is shown in its best light (:mod:`bench.peers.legacy`); what its lock was held for is time in which nobody
else could write. Ours takes no lock: what it asks of locks and queues is counted, and must be nothing.

All that either asks goes through one proxy, which holds every request for the delay and lets bytes pass as fast as this
machine moves them. No link is modelled: on one of 1 Gbit/s the legacy design would wait 0.8 s more for each of the two ways
of its index, ours 3 to 20 ms for the blocks of a gc. Two more rows leave out what could be held against a comparison: the
same beside a *bare* peer, whose index is not indented and whose lock is no object; and a gc in a folder of this machine
(without a network, and with no delay), beside the bare peer, too.

A legacy write leaves the index whole behind it. For ours that is somebody else's work, so a compactor does it on the same
processors while ours is measured (and not while the legacy design is): without it every turn would read what all turns
before it have left in the log.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from bench.children import behind, run_job, run_together
from bench.harness import Report, interleaved, median, percentile
from bench.lab import NAMESPACE, Lab
from bench.trees import NEW_FILES, Trees

_FEW = 7
_TURNS = 3
_CROWDS = (4, 16)


def run(lab: Lab, report: Report) -> None:
    """Turns of both designs, all on S3 with the delay."""
    url = lab.s3.url(lab.big_s3, far=True)
    trees = Trees(lab, url)
    theirs, bare = _Theirs(lab), _Theirs(lab, bare=True)
    alternatives: dict[str, Any] = {
        "ours write": partial(_compacted, lab, url, partial(_write, lab, url)),
        "legacy write": partial(theirs.write, 1),
        "bare write": partial(bare.write, 1),
        **_collectors(lab, theirs, bare),
    }
    for crowd in _CROWDS:
        alternatives[f"ours sync {crowd}"] = partial(_compacted, lab, url, partial(_syncs, lab, trees, crowd))
        alternatives[f"legacy sync {crowd}"] = partial(theirs.syncs, crowd)
    found = interleaved(min(lab.scale.rounds, _TURNS), alternatives)
    locks = [one["locks"] for name, runs in found.items() if name.startswith("ours") for one in runs]
    for what in ("write", "gc", *(f"sync {crowd}" for crowd in _CROWDS)):
        ours, legacy = found[f"ours {what}"], found[f"legacy {what}"]
        mine, old = (median([one["seconds"] for one in runs]) for runs in (ours, legacy))
        note = f"ours {mine:.3g} s, legacy {old:.3g} s of which it held the lock {median([one['held'] for one in legacy]):.3g} s"
        lost = sum(one.get("late", 0) for one in legacy)
        note += f"; {lost} of its writers gave up after 60 s" if lost else ""
        report.target(f"legacy-{what.replace(' ', '-')}", old / mine, figure="ratio", note=note)
    report.target("legacy-exclusive", sum(locks), figure="sum", samples=locks)
    for what, mine, peer in (
        ("one write, the legacy design bare", "ours write", "bare write"),
        ("gc of 7, the legacy design bare", "ours gc", "bare gc"),
        ("gc of 7 in a folder, the legacy design bare", "ours local gc", "bare local gc"),
    ):
        seconds, old = (median([one["seconds"] for one in found[name]]) for name in (mine, peer))
        report.info(what, old / seconds, "x", figure="ratio", note=f"ours {seconds:.3g} s, legacy {old:.3g} s")


def _collectors(lab: Lab, theirs: _Theirs, bare: _Theirs) -> dict[str, Any]:
    """A gc of 7 by each, on S3 and in a folder."""
    place, folder = lab.fresh("legacy-gc-ours"), str(lab.folder("legacy-gc-ours"))
    near, far = lab.s3.url(place, far=False), lab.s3.url(place, far=True)
    for url in (near, folder):
        lab.job("gc:fill", timeout_s=600, url=url, namespace=NAMESPACE, entries=lab.scale.entries, expired=0)
    local = _Theirs(lab, bare=True, folder=str(lab.folder("legacy-index")))
    return {
        "ours gc": partial(_gc, lab, near, far),
        "legacy gc": theirs.collect,
        "bare gc": bare.collect,
        "ours local gc": partial(_gc, lab, folder, folder),
        "bare local gc": local.collect,
    }


def _compacted(lab: Lab, url: str, measured: Callable[[int], dict[str, Any]], turn: int) -> dict[str, Any]:
    """``measured`` beside a compactor that is up to date when it begins."""
    lab.job("gc:compact", timeout_s=600, url=url, namespace=NAMESPACE)
    with behind("upkeep:compactor", lab.env, timeout_s=1800, url=url, namespace=NAMESPACE):
        return measured(turn)


def _write(lab: Lab, url: str, _turn: int) -> dict[str, Any]:
    done = run_job("append:appends", lab.env, url=url, namespace=NAMESPACE, count=20)["value"]
    return {"seconds": median(done["ms"]) / 1000, "locks": done["locks"]}


def _gc(lab: Lab, near: str, far: str, turn: int) -> dict[str, Any]:
    lab.job("gc:renew", url=near, namespace=NAMESPACE, count=_FEW, seed=turn)
    done = run_job("gc:collect", lab.env, timeout_s=600, url=far, namespace=NAMESPACE)["value"]
    if done["expired"] != _FEW:
        raise AssertionError(f"a gc removed {done['expired']} versions instead of {_FEW}")
    return {"seconds": done["seconds"], "locks": done["locks"]}


def _syncs(lab: Lab, trees: Trees, crowd: int, _turn: int) -> dict[str, Any]:
    import shutil

    repos = trees.make(crowd)
    for repo in repos:
        trees.grow(repo)
    many = [{"url": trees.url, "namespace": NAMESPACE, "tree": str(repo / ".swamp")} for repo in repos]
    each = run_together("sync:push", lab.env, many, timeout_s=180)
    for repo in repos:
        shutil.rmtree(repo)
    if any(one["value"]["pushed"] != NEW_FILES for one in each):
        raise AssertionError("a sync did not push what it should")
    return {"seconds": max(one["seconds"] for one in each), "locks": sum(one["value"]["locks"] for one in each)}


class _Theirs:
    """The legacy design on the same index, on S3 or in ``folder``."""

    def __init__(self, lab: Lab, *, bare: bool = False, folder: str = "") -> None:
        self._lab, place = lab, lab.fresh("legacy")
        lab.job("legacy:upload_index", url=folder or lab.s3.url(place, far=False), source=str(lab.index))
        lock = str(lab.scratch / lab.fresh("lock"))
        self._at = {"url": folder or lab.s3.url(place, far=True), "lock": lock, "bare": bare}

    def write(self, files: int, turn: int) -> dict[str, Any]:
        given = {**self._at, "files": files, "mark": f"w{turn}", "repeat": 2}
        done = run_job("legacy:write", self._lab.env, **given)["value"]
        return {"seconds": median(done["ms"]) / 1000, "held": done["held_s"] / 2}

    def collect(self, _turn: int) -> dict[str, Any]:
        done = run_job("legacy:collect", self._lab.env, **self._at, count=_FEW)["value"]
        return {"seconds": done["seconds"], "held": done["held_s"]}

    def syncs(self, crowd: int, turn: int) -> dict[str, Any]:
        given = {**self._at, "files": NEW_FILES}
        many = [{**given, "mark": f"s{crowd}-{turn}-{at}"} for at in range(crowd)]
        each = run_together("legacy:write", self._lab.env, many, timeout_s=400)
        held = [one["value"]["held_s"] for one in each]
        late = sum(not one["value"]["ok"] for one in each)
        return {"seconds": percentile([one["seconds"] for one in each], 1), "held": sum(held), "late": late}
