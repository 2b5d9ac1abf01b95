"""Delivery of a spool: bundle after bundle, in order, each exactly once.

A record's key (topic, time, id) is fixed before it is ever sent, so a bundle that was delivered by a process that died
before it could delete the file is delivered again without a trace.

Invariants:
- One process delivers at a time; what it delivers goes through a lane of its own, behind no write that hangs.
- A bundle is deleted only after its records were acknowledged. What cannot be read is set aside, named, and stops nobody.
- Any failure of the store stops the delivery; everything not acknowledged stays.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from swampstore.errors import CorruptObject, UnknownFormat
from swampstore.limits import BATCH_BYTES, SEGMENT_DELTAS
from swampstore.protocols.place import Place
from swampstore.values.entry import Record
from swampstore.values.spool import Bundle, BundleName, may_keep_version
from swampstore.workers.audit_spool import AuditSpool

_BYTES = BATCH_BYTES // 2
_RECORDS = SEGMENT_DELTAS // 4
_log = logging.getLogger("swampstore")

Append = Callable[[Sequence[Record]], Awaitable[object]]


class DrainReport(msgspec.Struct):
    """``records`` were delivered in ``appends``; ``left`` writes wait still; ``busy``: another process is at it."""

    namespace: str
    records: int = 0
    writes: int = 0
    appends: int = 0
    left: int = 0
    set_aside: int = 0
    busy: bool = False


async def drain(
    spool: AuditSpool,
    place: Place,
    append: Append,
    stamp: Callable[[], bytes],
    *,
    seconds: float | None = None,
    report: DrainReport | None = None,
) -> DrainReport:
    """Deliver what waits in ``spool`` by ``append``; ``stamp`` gives new versions. Stops after about ``seconds``.

    Raises what the store raises (the rest stays, and what was delivered is in ``report``), ``SpoolUnusable``.
    """
    report = DrainReport(spool.namespace) if report is None else report
    began = place.env.boot()
    with spool.delivering() as mine:
        report.busy = not mine
        waiting = spool.bundles()
        left: set[str] = set()
        while mine and waiting:
            if seconds is not None and place.env.boot() - began > seconds:
                break
            batch, waiting = _batch(waiting)
            left |= await _deliver(spool, place, append, stamp, batch, report)
            waiting = waiting or [one for one in spool.bundles() if one.name not in left]
        report.left = len(waiting) + len(left)
    return report


def _batch(waiting: Sequence[BundleName]) -> tuple[list[BundleName], list[BundleName]]:
    """As many of the first bundles as one append takes (at least one), and the others."""
    count = size = at = 0
    for at, one in enumerate(waiting):
        count, size = count + one.records, size + one.bytes
        if at and (count > _RECORDS or size > _BYTES):
            break
    else:
        at += 1
    return list(waiting[: max(at, 1)]), list(waiting[max(at, 1) :])


async def _deliver(
    spool: AuditSpool,
    place: Place,
    append: Append,
    stamp: Callable[[], bytes],
    batch: Sequence[BundleName],
    report: DrainReport,
) -> set[str]:
    """Deliver a batch; the names of those that are left for a newer program."""
    held: list[tuple[BundleName, Bundle]] = []
    left: set[str] = set()
    for name in batch:
        try:
            bundle = spool.read(name)
        except UnknownFormat as error:
            _log.error("audit records in the spool are left where they are: %s", error)
            left.add(name.name)
            continue
        except CorruptObject as error:
            _log.error("audit records in the spool cannot be delivered, the file is set aside: %s", error)
            spool.set_aside(name)
            report.set_aside += 1
            continue
        if bundle is not None:
            held.append((name, bundle))
    now = place.clock.now_ms()
    for group in _groups(held):
        records = [
            record if may_keep_version(record.version, now) else msgspec.structs.replace(record, version=stamp())
            for _, bundle in group
            for record in bundle.records
        ]
        await append(records)
        spool.remove([name.name for name, _ in group])
        report.appends += 1
        report.records += len(records)
        report.writes += len(group)
    return left


def _groups(held: Sequence[tuple[BundleName, Bundle]]) -> list[list[tuple[BundleName, Bundle]]]:
    """Bundles that travel together, by what is truly in them: sizes in names are those of compressed files."""
    groups: list[list[tuple[BundleName, Bundle]]] = []
    size = count = 0
    for one in held:
        weight = sum(len(record.key) + len(record.value) + 64 for record in one[1].records)
        if not groups or size + weight > _BYTES or count + len(one[1].records) > _RECORDS:
            groups.append([])
            size = count = 0
        groups[-1].append(one)
        size, count = size + weight, count + len(one[1].records)
    return groups
