"""What a view of a namespace shows: figures that are drawn over time, and facts that are only told.

Both views (terminal, page) take everything from here, so they say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from swampstore.limits import LEVEL0_RUNS
from swampstore_cli import output
from swampstore_cli.watch.sample import Sample

if TYPE_CHECKING:
    from swampstore.client.status import NamespaceStatus
    from swampstore.protocols.queue_status import QueueStatus

SHOWN_PHASES = 6


class Figure(NamedTuple):
    """A value over time. ``values`` has one item a sample, ``None`` where there was no answer; ``now`` is for people."""

    name: str
    about: str
    now: str
    values: Sequence[float | None]


def _of(samples: Sequence[Sample], value: Callable[[Sample, NamespaceStatus], float]) -> list[float | None]:
    return [value(sample, sample.status) if sample.status is not None else None for sample in samples]


def figures(samples: Sequence[Sample]) -> Iterator[Figure]:
    """The figures of a namespace, the newest sample last (there is at least one)."""
    last = samples[-1]
    status = last.status
    none = status is None

    def now(text: str) -> str:
        return "no answer" if none else text

    yield Figure(
        "appends", "slots of the log taken, per second",
        now(f"{last.append_rate:.1f} /s"), _of(samples, lambda sample, _: sample.append_rate),
    )  # fmt: skip
    if any(sample.bytes_rate for sample in samples):
        yield Figure(
            "lane files", "bytes appended to them, per second",
            now(f"{output.size(last.bytes_rate)}/s"), _of(samples, lambda sample, _: sample.bytes_rate),
        )  # fmt: skip
    yield Figure(
        "log depth", "segments that are not folded yet",
        now(f"{last.depth:,}"), _of(samples, lambda sample, _: sample.depth),
    )  # fmt: skip
    yield Figure(
        "oldest", "age of the oldest of them, seconds",
        now(output.age(status.oldest_unfolded_s) if status and status.log_depth else "-"),
        _of(samples, lambda _, one: one.oldest_unfolded_s),
    )  # fmt: skip
    yield Figure(
        "roots", "roots published (folds, merges, sweeps), per second",
        now(f"{last.publish_rate:.2f} /s"), _of(samples, lambda sample, _: sample.publish_rate),
    )  # fmt: skip
    yield Figure(
        "level 0", "bytes that wait for a merge",
        now(output.size(status.level0_bytes) if status else ""), _of(samples, lambda _, one: one.level0_bytes),
    )  # fmt: skip
    yield Figure(
        "entries", "entries of the manifest",
        now(f"{status.entries:,}" if status else ""), _of(samples, lambda _, one: one.entries),
    )  # fmt: skip
    yield Figure(
        "answer", "what one list and one root took, ms",
        now(f"{last.answer_ms:.1f} ms"), _of(samples, lambda sample, _: sample.answer_ms),
    )  # fmt: skip
    spooled = _of(samples, lambda _, one: one.spool.records if one.spool else 0)
    if any(spooled):
        yield Figure("spool", "audit records that wait on this machine", now(f"{spooled[-1] or 0:,.0f}"), spooled)
    waiting = [_waiting(sample) for sample in samples]
    if any(waiting):
        yield Figure("waiting", "callers that wait in queues and for locks", now(f"{waiting[-1] or 0:,}"), waiting)
    for name in _slowest(samples):
        values = [sample.phases.get(name) for sample in samples]
        shown = f"{values[-1]:.1f} ms" if values[-1] is not None else "-"
        yield Figure(f"p99 {name}", "99 of 100 took at most, ms", shown, values)


def _waiting(sample: Sample) -> float | None:
    if sample.status is None or sample.status.queues is None:
        return None
    return sum(queue.waiting for queue in sample.status.queues)


def _slowest(samples: Sequence[Sample]) -> list[str]:
    """The phases that were slowest at any time, a few."""
    worst: dict[str, float] = {}
    for sample in samples:
        for name, value in sample.phases.items():
            worst[name] = max(worst.get(name, 0.0), value)
    return sorted(sorted(worst, key=worst.__getitem__, reverse=True)[:SHOWN_PHASES])


def facts(sample: Sample) -> Iterator[tuple[str, str]]:
    """What is only told, in order."""
    status = sample.status
    if status is None:
        yield "error", sample.error
        return
    yield "leader", f"{status.leader or 'nobody'}, epoch {status.epoch:,}"
    if status.root_version:
        yield "fold", f"root {status.root_version:,}, published {output.age(status.root_age_s)} ago"
    yield "merge", _merge(status)
    yield "manifest", f"{output.count(status.shards, 'shard')}, {output.size(status.manifest_bytes)}"
    if status.ephemeral or status.audit:
        yield "beside it", f"{status.ephemeral:,} of runtime state, {output.count(status.audit, 'audit record')}"
    spool = status.spool
    if spool is not None and (spool.records or spool.problem):
        since = f" for {output.age(spool.oldest_s)}" if spool.records else ""
        why = f": {spool.problem}" if spool.problem else ""
        yield "spool", f"{output.count(spool.records, 'audit record')} wait on this machine{since}{why}"
    if status.garbage:
        yield "garbage", f"{output.count(status.garbage, 'object')} waiting to be swept"
    if status.quarantined:
        yield "trouble", f"{output.count(status.quarantined, 'broken segment')} set aside: swamp datastore doctor"


def _merge(status: NamespaceStatus) -> str:
    if not status.level0_runs and not status.level0_inline:
        return "nothing to merge"
    return f"{status.level0_runs} of {LEVEL0_RUNS} level-0 runs till a merge is due, {status.level0_inline:,} inline"


class Line(NamedTuple):
    """One ticket of a queue."""

    queue: str
    position: int
    state: str
    who: str
    age: str
    purpose: str


def lines(queues: Sequence[QueueStatus] | None) -> Iterator[Line]:
    """Who holds and who waits, of the queues where anybody does."""
    for queue in queues or ():
        for one in queue.tickets:
            who = f"{one.host}:{one.pid}" if one.host else "unreadable"
            yield Line(
                f"{queue.queue} ({queue.capacity})", one.position, one.state, who, output.age(one.age_s), one.purpose
            )
