"""Breaking a namespace behind everybody's back, and looking at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swampstore.env.blocking import run
from swampstore.stores.base import Overwrite
from swampstore.values.entry import Inline, Meta, put_record
from swampstore.values.root import Root, decode_root, encode_root
from swampstore.values.segment import SegmentHeader, encode_records, encode_segment
from swampstore.values.version import make_version
from swampstore.workers.doctor.examine import examine
from swampstore.workers.doctor.finding import Finding, Report
from swampstore.workers.doctor.repairs import repair
from tests.workers.world import Process, World


def look(process: Process, **options: Any) -> Report:
    return run(examine(process.place, process.register, **options))


def only(report: Report) -> Finding:
    """The one finding there is."""
    assert len(report.findings) == 1, report.findings
    return report.findings[0]


def write(world: World, name: str, body: bytes) -> None:
    run(world.store.inner.put(name, body, Overwrite()))


def drop(world: World, *names: str) -> None:
    run(world.store.inner.delete(names))


def change_root(world: World, change: Callable[[Root], Root]) -> None:
    """Write another root, behind everybody's back."""
    write(world, "ns/root", encode_root(change(decode_root(world.store.raw("ns/root"), "root"))))


def named(world: World, kind: str) -> str:
    """A run that the root names."""
    root = decode_root(world.store.raw("ns/root"), "root")
    return next(f"ns/{ref.name}" for ref in root.runs if ref.name.startswith(kind))


def segment(lane: str, slot: int, key: str = "x", hlc: int = 1) -> bytes:
    record = put_record(key, make_version(hlc, b"w" * 12, 1), Meta(size=1, at=Inline(b"x")))
    return encode_segment(SegmentHeader(lane, slot, b"12345678", 1), 1, encode_records([record]))


# --- repairs ---------------------------------------------------------------------------------------------------------


def lose(world: World) -> None:
    """The root is gone."""
    drop(world, "ns/root")


def mend(world: World, **options: Any) -> list[str]:
    """Carry out every repair that is due; the codes of what was done."""
    process = world.process()
    report = run(repair(process.place, process.register, **{"dry_run": False, "accept_loss": True} | options))
    return [step.code for step in report.steps]


def codes(world: World) -> list[str]:
    """What the doctor says of the namespace."""
    return look(world.process(), guards=False).codes()
