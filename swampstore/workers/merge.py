"""The merge: level 0 into the shards, or into larger runs of its own, by one CAS of the root.

Cost follows what changed: only shards that a change falls into are read and written, and of those only the blocks that
a change meets are decoded. Changes that are not worth the shards they fall into yet are joined among themselves
(:mod:`swampstore.values.tiers`).

Invariants:
- It removes exactly what it read: runs by name, inline records by key and version. What folds add meanwhile stays.
- If the root has moved, it publishes only while this process may and while every input is still named; else it gives up.
- Record sums are conserved, from independent sources: what the root says of the inputs, plus conflict entries made,
  equals what the outputs hold plus what was dropped, or nothing is published.
- A tombstone is dropped only at the bottom, only below the line that all of them need (:mod:`.tombstones`), and only if
  its key does not lie in the ephemeral home: it may hide what lies there.
- A shard uploaded more than 6 hours ago is not published: the sweep may take it for an orphan.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from swampstore.env.clock import Span
from swampstore.env.phases import Operation, count, during
from swampstore.errors import Inconsistent, StaleWrite
from swampstore.limits import ROOT_CAS_TRIES, SHARD_UPLOAD_AGE_S
from swampstore.protocols.place import Place
from swampstore.protocols.register import Register, Seen
from swampstore.values.entry import Record, record_sum
from swampstore.values.root import Root, RunRef
from swampstore.values.tiers import to_join, worth_the_shards
from swampstore.workers.leadership import Leadership
from swampstore.workers.level0 import Ledger, Level0
from swampstore.workers.outputs import Outputs
from swampstore.workers.report import MergeReport
from swampstore.workers.run_reader import RunReader
from swampstore.workers.shards import Plan, plan_merge, plan_middle
from swampstore.workers.side_runs import ephemeral_keys
from swampstore.workers.tombstones import tombstone_line_ms
from swampstore.workers.weave import Burial, Weaver

Between = Callable[[], Awaitable[None]]


class Inputs(msgspec.Struct, frozen=True):
    """What a merge takes out of the root: level-0 runs, inline records, and the shards it rewrites.

    ``middle``: what comes of them stays in level 0, where they were.
    """

    runs: tuple[RunRef, ...]
    inline: tuple[Record, ...]
    shards: tuple[RunRef, ...]
    middle: bool = False

    def still_in(self, root: Root) -> bool:
        """Whether ``root`` names every one of them."""
        named = {ref.name for ref in (*root.level0, *root.shards)}
        there = {(record.key, record.version) for record in root.inline}
        return named.issuperset(ref.name for ref in (*self.runs, *self.shards)) and there.issuperset(
            (record.key, record.version) for record in self.inline
        )

    @property
    def sum(self) -> int:
        return sum(ref.sum for ref in (*self.runs, *self.shards)) + sum(map(record_sum, self.inline))


class Merged(msgspec.Struct, frozen=True):
    """The outcome of the work before anything is published."""

    inputs: Inputs
    outputs: tuple[RunRef, ...]
    ledger: Ledger
    age: Span


async def merge(
    place: Place,
    register: Register,
    leadership: Leadership,
    *,
    stay: bool,
    insist: bool = False,
    full: bool = False,
    between: Between | None = None,
) -> MergeReport:
    """Merge level 0 into the shards, once; with ``full`` the inline records too.

    ``between`` is awaited now and then, so that a leader goes on folding while it merges. Losing a race is no error:
    ``report.raced``. Raises ``Damaged`` when a run cannot be read, and what the store raises.
    """
    with Operation(place.env, "merge", "join") as operation:
        report = await _merge(place, register, leadership, stay=stay, insist=insist, full=full, between=between)
        if report.published:
            operation.records = report.deltas
            count("merged_records", report.deltas)
            count("merged_bytes", report.bytes_written)
    report.phases = operation.phases
    return report


async def _merge(
    place: Place,
    register: Register,
    leadership: Leadership,
    *,
    stay: bool,
    insist: bool,
    full: bool,
    between: Between | None,
) -> MergeReport:
    with during("list_root"):
        seen = await register.read()
    if not leadership.may_publish(seen, seen, one_shot=not stay, insist=insist):
        return MergeReport()
    if not seen.root.level0 and not (full and seen.root.inline):
        return MergeReport()
    joined = () if full or worth_the_shards(seen.root) else to_join(seen.root.level0)
    if joined:
        merged, report = await _work_in_the_middle(place, seen, joined, between)
    else:
        merged, report = await _work(place, seen, full=full, between=between)
    return await _publish(register, leadership, seen, merged, report, stay=stay, insist=insist)


# --- the work --------------------------------------------------------------------------------------------------------


async def _work(place: Place, seen: Seen, *, full: bool, between: Between | None) -> tuple[Merged, MergeReport]:
    root = seen.root
    inline = root.inline if full else ()
    kept = frozenset[str]() if full else frozenset(record.key for record in root.inline)
    line = tombstone_line_ms(root)
    state = await ephemeral_keys(place, root) if line > 0 else frozenset[str]()
    line, kept = (line, kept | state) if state is not None else (0, kept)
    ledger, age = Ledger(), Span(place.env, seen.time)
    with during("run_read"):
        level0 = await Level0.open(place, root.level0, inline)
        plan = await plan_merge(place, root, level0, line)
    outputs = Outputs(place, age)
    await _weave_all(place, root, plan, Weaver(level0, outputs, ledger, Burial(line, kept)), outputs, between)
    inputs = Inputs(root.level0, inline, tuple(root.shards[number] for number in plan.shards))
    return _checked(place, Merged(inputs, tuple(outputs.refs), ledger, age))


async def _work_in_the_middle(
    place: Place, seen: Seen, runs: tuple[RunRef, ...], between: Between | None
) -> tuple[Merged, MergeReport]:
    """Join ``runs``, neighbours in level 0. What they may hide lies in other runs, so no tombstone is dropped."""
    ledger, age = Ledger(), Span(place.env, seen.time)
    with during("run_read"):
        level0 = await Level0.open(place, runs, ())
    outputs = Outputs(place, age, "l0")
    weaver = Weaver(level0, outputs, ledger, Burial(0, frozenset()))
    await _weave_all(place, seen.root, plan_middle(runs), weaver, outputs, between)
    return _checked(place, Merged(Inputs(runs, (), (), middle=True), tuple(outputs.refs), ledger, age))


def _checked(place: Place, merged: Merged) -> tuple[Merged, MergeReport]:
    check_sums(place, merged)
    inputs = merged.inputs
    report = MergeReport(
        runs=len(inputs.runs),
        deltas=sum(ref.count for ref in inputs.runs) + len(inputs.inline),
        shards_read=len(inputs.shards),
        shards_written=0 if inputs.middle else len(merged.outputs),
        middle=inputs.middle,
        bytes_read=sum(ref.size for ref in (*inputs.runs, *inputs.shards)),
        bytes_written=sum(ref.size for ref in merged.outputs),
        tombstones_dropped=merged.ledger.tombstones,
    )
    return merged, report


async def _weave_all(
    place: Place, root: Root, plan: Plan, weaver: Weaver, outputs: Outputs, between: Between | None
) -> None:
    reader = RunReader(place, [root.shards[number] for number in plan.shards])
    for group in plan.groups:
        outputs.begin(group)
        if group.start == group.end:
            await weaver.shard([], plan.uppers[0], place.names.root)
        for number in range(group.start, group.end):
            ref = root.shards[number]
            with during("run_read"):
                blocks = await reader.next()
            await weaver.shard(blocks, plan.uppers[number], place.full(ref.name))
            with during("run_write"):
                await outputs.write()
            if between is not None:
                await between()
        weaver.finish()
        outputs.end()
    with during("run_write"):
        await outputs.write(all_of_it=True)


def check_sums(place: Place, merged: Merged) -> None:
    """Raise ``Inconsistent`` unless inputs plus made equals outputs plus dropped."""
    ledger = merged.ledger
    incoming = merged.inputs.sum + ledger.made_sum
    if incoming != sum(ref.sum for ref in merged.outputs) + ledger.dropped_sum:
        raise Inconsistent(f"{place.names.namespace}: the merge does not conserve record sums; nothing was published")


# --- publishing ------------------------------------------------------------------------------------------------------


async def _publish(
    register: Register,
    leadership: Leadership,
    began: Seen,
    merged: Merged,
    report: MergeReport,
    *,
    stay: bool,
    insist: bool,
) -> MergeReport:
    last = register.last
    seen = last if last is not None and last.root.version >= began.root.version else began
    for _ in range(ROOT_CAS_TRIES):
        merged.age.saw(seen.time)
        may = leadership.may_publish(seen, began, one_shot=not stay, insist=insist)
        if not may or not merged.inputs.still_in(seen.root) or merged.age.seconds() > SHARD_UPLOAD_AGE_S:
            break
        new = successor(seen, merged)
        try:
            with during("publish"):
                published = await register.publish(seen, leadership.sign(seen.root, new, stay=stay))
        except StaleWrite:
            seen = await register.read()
            continue
        return msgspec.structs.replace(report, published=True, entries=published.root.entries)
    return msgspec.structs.replace(report, raced=True)


def successor(seen: Seen, merged: Merged) -> Root:
    """The root with the inputs taken out, the outputs put in, and nothing else changed."""
    old, inputs = seen.root, merged.inputs
    out = {ref.name for ref in (*inputs.runs, *inputs.shards)}
    taken = {(record.key, record.version) for record in inputs.inline}
    made: dict[bool, tuple[RunRef, ...]] = {inputs.middle: merged.outputs}
    shards = [*(ref for ref in old.shards if ref.name not in out), *made.get(False, ())]
    at = next((at for at, ref in enumerate(old.level0) if ref.name in out), 0)
    kept = [ref for ref in old.level0[at:] if ref.name not in out]
    packs, garbage = merged.ledger.tally.apply(old, old.version + 1, seen.time, sorted(out))
    return msgspec.structs.replace(
        old,
        inline=tuple(record for record in old.inline if (record.key, record.version) not in taken),
        level0=(*old.level0[:at], *made.get(True, ()), *kept),
        shards=tuple(sorted(shards, key=lambda ref: ref.first)),
        packs=packs,
        garbage_raw=garbage,
    )
