"""``run gc``: records of old runs and outputs go, then the data that lived for a job or a workflow whose run is gone.

A run's record is a plain entry, ``workflow-runs/<workflow id>/workflow-run-<run id>.yaml``, with a log of the same name
beside it; an output's lies below ``outputs/``. Their age is that of the file.

Invariants:
- What is not known to have ended stays whatever its age: a record whose status is not one of the last ones, or that
  cannot be read.
- Data goes only when it is as old as the records that may go, names the workflow run that it lived for, and the
  namespace keeps such records at all: a store that never had them says nothing about runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from swampstore.protocols.contents import read_many
from swampstore.protocols.place import Place
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.values.data import DATA_FOLDER
from swampstore.values.entry import CONFLICT, EPHEMERAL, OPAQUE, VERSIONED, Meta, Record, entry_of, meta_of
from swampstore.values.lifetimes import DAY_MS
from swampstore.workers.gc.collect import Collector
from swampstore.workers.gc.report import Counter, GcReport
from swampstore.workers.gc.run import Append, Appender, run_pass

OUTPUTS = "outputs/"
RUNS = "workflow-runs/"
_RECORD = ".yaml"
RUN_AGE_MS = 30 * DAY_MS
"""The age at which a run's record may go, unless somebody says another."""
OLD_RUN, RUN_GONE = "old-run", "run-gone"
_ENDED = frozenset({"succeeded", "failed", "cancelled", "canceled", "completed", "skipped", "rejected"})
_STATUS = re.compile(rb"^status:[ \t]*[\"']?([A-Za-z_-]+)", re.MULTILINE)
_BOUND = frozenset({"job", "workflow"})
_READ_AT_ONCE = 64
_RECORD_BYTES = 4 << 20
"""A record of a run that is larger is not read, and stays."""


class RunAges(msgspec.Struct, frozen=True):
    """How old (ms) an output and a workflow run must be to go."""

    outputs: int = RUN_AGE_MS
    runs: int = RUN_AGE_MS


async def collect_runs(
    place: Place, reader: SnapshotReader, append: Append, ages: RunAges, *, dry_run: bool
) -> GcReport:
    """Remove the records of old runs and outputs, and the data of runs that are gone. Reads those parts of the index."""

    async def one_pass(snapshot: Snapshot, out: Appender, report: GcReport) -> None:
        work = _Runs(place, snapshot, ages, report)
        for step in (work.outputs, work.runs, work.logs, work.data):
            await step(out)
        for key in work.collector.lost:
            work.collector.add_metadata(await snapshot.record(key))
        await out.take(work.collector.groups)

    return await run_pass(place, reader, append, one_pass, dry_run=dry_run)


class _Runs:
    def __init__(self, place: Place, snapshot: Snapshot, ages: RunAges, report: GcReport) -> None:
        self._place = place
        self._snapshot = snapshot
        self._ages = ages
        self._now = place.clock.now_ms()
        # Records of runs by name, without their ending: those that stay, those that go.
        self._there: set[str] = set()
        self._gone: set[str] = set()
        self._keeps_runs = False
        self.collector = Collector(self._now, Counter(report), frozenset[str]().__contains__)

    async def outputs(self, out: Appender) -> None:
        """Outputs that are old enough and have ended, if they say how they are."""
        async for records in self._snapshot.records(OUTPUTS):
            old = [record for record in records if self._plain(record) and self._old(record, self._ages.outputs)]
            for record in await self._ended(old, unsaid=True):
                self.collector.remove(record, OLD_RUN)
            await out.take(self.collector.groups)

    async def runs(self, out: Appender) -> None:
        """Records of workflow runs that are old enough and have ended."""
        async for records in self._snapshot.records(RUNS):
            self._keeps_runs = self._keeps_runs or bool(records)
            said = [record for record in records if self._plain(record) and record.key.endswith(_RECORD)]
            old = [record for record in said if self._old(record, self._ages.runs)]
            ended = await self._ended(old, unsaid=False)
            self._gone.update(record.key.removesuffix(_RECORD) for record in ended)
            self._there.update(record.key.removesuffix(_RECORD) for record in said)
            for record in ended:
                self.collector.remove(record, OLD_RUN)
            await out.take(self.collector.groups)
        self._there -= self._gone

    async def logs(self, out: Appender) -> None:
        """What lies beside a record that goes; and what is old and has no record."""
        async for records in self._snapshot.records(RUNS):
            for record in records:
                if not self._plain(record) or record.key.endswith(_RECORD):
                    continue
                stem = record.key.rpartition(".")[0] or record.key
                alone = stem not in self._there and self._old(record, self._ages.runs)
                if stem in self._gone or alone:
                    self.collector.remove(record, OLD_RUN)
            await out.take(self.collector.groups)

    async def data(self, out: Appender) -> None:
        """Versions that lived for a run that is gone."""
        if not self._keeps_runs:
            return
        async for records in self._snapshot.records(DATA_FOLDER):
            for record in records:
                if record.gone or record.flags & (OPAQUE | EPHEMERAL):
                    continue
                self.collector.pass_by(record)
                if record.flags & (VERSIONED | CONFLICT) == VERSIONED and self._of_a_gone_run(record):
                    self.collector.remove(record, RUN_GONE)
            await out.take(self.collector.groups)

    def _of_a_gone_run(self, record: Record) -> bool:
        meta = meta_of(record)
        if meta.lifetime not in _BOUND or meta.data is None or not self._old(record, self._ages.runs, meta):
            return False
        workflow, run = meta.data.owner.get("workflowId"), meta.data.owner.get("workflowRunId")
        if not isinstance(workflow, str) or not isinstance(run, str) or not workflow or not run:
            return False
        return f"{RUNS}{workflow}/workflow-run-{run}" not in self._there

    def _plain(self, record: Record) -> bool:
        return not record.gone and not record.flags & (OPAQUE | EPHEMERAL | VERSIONED | CONFLICT)

    def _old(self, record: Record, age_ms: int, meta: Meta | None = None) -> bool:
        meta = meta or meta_of(record)
        made = meta.modified or meta.created
        return 0 < made <= self._now - age_ms

    async def _ended(self, records: Sequence[Record], *, unsaid: bool) -> list[Record]:
        """Those whose contents say that it is over; ``unsaid`` is the answer for contents that say nothing."""
        ended: list[Record] = []
        for start in range(0, len(records), _READ_AT_ONCE):
            part = [entry_of(record) for record in records[start : start + _READ_AT_ONCE]]
            read = [entry for entry in part if entry.size <= _RECORD_BYTES]
            bodies = dict(zip((entry.key for entry in read), await read_many(self._place, read), strict=True))
            for record in records[start : start + _READ_AT_ONCE]:
                body = bodies.get(record.key)
                if isinstance(body, bytes):
                    status = _STATUS.search(body)
                    over = status[1].decode().lower() in _ENDED if status else unsaid
                    if over:
                        ended.append(record)
        return ended
