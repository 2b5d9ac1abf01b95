"""From records in key order to what has to go: the expired ones at once, the superseded ones item by item.

Invariants:
- An item is judged only when every range in which one of its versions could lie has been read. Else it is left alone, but
  named in ``unsettled`` when the rule would give up one of the versions that passed by, and when another item lies among
  its versions: every version of an item that is due passes by, and only what else lies below its path may not.
- The two entries of a version and the record of its id go together.
- Every removal names the version it removes: whatever is put later wins over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from swampstore.values.data import DATA_FOLDER, METADATA, Datum, id_key, meta_path
from swampstore.values.entry import CONFLICT, EPHEMERAL, OPAQUE, PENDING, VERSIONED, Record, meta_of, tombstone
from swampstore.values.summary import Fact, fact_of, rule_of
from swampstore.values.version import just_above, put_of
from swampstore.workers.gc.report import Counter
from swampstore.workers.gc.rules import Version, given_up

EXPIRED, SUPERSEDED = "expired", "superseded"
_METADATA_SUFFIX = f"/{METADATA}"

Group = tuple[Record, ...]
"""Tombstones that belong together."""


class _Item:
    """One item whose keys are passing by: its live versions, and the metadata beside each."""

    __slots__ = ("metadata", "path", "prefix", "records", "versions")

    def __init__(self, path: str) -> None:
        self.path = path
        self.prefix = f"{path}/"
        self.versions: list[Version] = []
        self.records: list[Record] = []
        self.metadata: list[Record | None] = []

    def add(self, fact: Fact, record: Record, metadata: Record | None) -> None:
        self.versions.append(Version(fact, len(self.records)))
        self.records.append(record)
        self.metadata.append(metadata)


class Collector:
    """Feed it winning records in key order, then call :meth:`finish`; ``groups`` is what there is to append.

    ``whole`` says whether everything an item may hold has passed by. ``lost`` are metadata keys of removed versions that
    did not pass by: whoever finds their records adds them with :meth:`add_metadata`.
    """

    def __init__(self, now_ms: int, counter: Counter, whole: Callable[[str], bool]) -> None:
        self._now = now_ms
        self._counter = counter
        self._whole = whole
        self._pending: dict[str, list[Fact]] = {}
        self._open: list[_Item] = []
        self._last_metadata: Record | None = None
        self.groups: list[Group] = []
        self.lost: list[str] = []
        self.unsettled: set[str] = set()

    def expect(self, records: Iterable[Record]) -> None:
        """Versions that wait for their number, from the log; before anything else."""
        waiting = [record for record in records if record.flags & PENDING and not record.gone]
        for record in sorted(waiting, key=_version):
            datum = meta_of(record).data
            if datum is not None and not self._expired(record):
                fact = Fact(datum.item, 0, *rule_of(datum.keep), 0, record.expires)
                self._pending.setdefault(datum.item, []).append(fact)

    def feed(self, records: Iterable[Record]) -> None:
        """Records in key order."""
        for record in records:
            self._close(record.key)
            if record.gone or record.flags & (OPAQUE | EPHEMERAL):
                continue
            self.pass_by(record)
            if self._expired(record):
                self.remove(record, EXPIRED)
            elif (fact := fact_of(record)) is not None:
                self._item(fact).add(fact, record, self._metadata_of(record))

    def finish(self) -> None:
        """Nothing follows."""
        self._close("")

    def settle(self, path: str, records: Iterable[Record]) -> None:
        """Judge an item of ``unsettled``, from all that lies below its path."""
        item = _Item(path)
        for record in records:
            self.pass_by(record)
            fact = fact_of(record)
            if fact is not None and fact.item == path and not self._expired(record):
                item.add(fact, record, self._metadata_of(record))
        self._judge(item)

    def _expired(self, record: Record) -> bool:
        return 0 < record.expires <= self._now

    # --- items --------------------------------------------------------------------------------------------------

    def _item(self, fact: Fact) -> _Item:
        if not self._open or self._open[-1].path != fact.item:
            self.unsettled.update(item.path for item in self._open)
            self._open.append(_Item(fact.item))
        return self._open[-1]

    def _close(self, key: str) -> None:
        """Judge the items that ``key`` has left behind."""
        while self._open and not key.startswith(self._open[-1].prefix):
            item = self._open.pop()
            if item.path in self.unsettled:
                continue
            if self._whole(item.path):
                self._judge(item)
            elif self._going(item):
                self.unsettled.add(item.path)

    def _going(self, item: _Item) -> set[int]:
        return {version.at for version in given_up(item.versions, self._pending.get(item.path, ()), self._now)}

    def _judge(self, item: _Item) -> None:
        going = self._going(item)
        if not going:
            return
        for at, record in enumerate(item.records):
            if at not in going:
                self._counter.kept(meta_of(record).at)
        for at in sorted(going):
            self._remove(item.records[at], SUPERSEDED, item.metadata[at])

    def pass_by(self, record: Record) -> None:
        """Remember ``record`` if it is the metadata of the version that follows it."""
        if record.key.endswith(_METADATA_SUFFIX) and not record.gone:
            self._last_metadata = record

    # --- removals -----------------------------------------------------------------------------------------------

    def remove(self, record: Record, reason: str) -> None:
        """``record``, which has just passed by, goes."""
        self._remove(record, reason, self._metadata_of(record))

    def _remove(self, record: Record, reason: str, metadata: Record | None) -> None:
        """``record`` goes, and what belongs to it. Metadata that has expired goes by itself."""
        meta = meta_of(record)
        datum = meta.data if record.flags & (VERSIONED | CONFLICT) == VERSIONED else None
        if datum is None and record.key.startswith(DATA_FOLDER) and record.key.endswith(_METADATA_SUFFIX):
            self._counter.freed(meta.at, meta.size)
        else:
            self._counter.removed(record.key, reason, meta.at, meta.size, datum)
        self.groups.append(self._with_version(record, datum, metadata) if datum else (removal(record),))

    def _with_version(self, raw: Record, datum: Datum, metadata: Record | None) -> Group:
        group = [removal(raw)]
        if datum.stamped:
            base = put_of(raw.version)
            group.append(tombstone(id_key(datum.item, base), just_above(base), base=base))
        if metadata is None:
            self.lost.append(meta_path(datum.item, datum.ordinal))
        elif not self._expired(metadata):
            group.append(removal(metadata))
            self._counter.freed(meta_of(metadata).at, meta_of(metadata).size)
        return tuple(group)

    def add_metadata(self, record: Record | None) -> None:
        """What was found for a key of ``lost``."""
        if record is not None and not record.gone:
            self.groups.append((removal(record),))
            self._counter.freed(meta_of(record).at, meta_of(record).size)

    def _metadata_of(self, raw: Record) -> Record | None:
        """The metadata that passed by last, if it lies beside ``raw``."""
        last = self._last_metadata
        folder = raw.key.rpartition("/")[0]
        return last if last is not None and last.key == f"{folder}{_METADATA_SUFFIX}" else None


def removal(record: Record) -> Record:
    """The tombstone that removes exactly ``record``: whatever is put later wins over it."""
    return tombstone(record.key, just_above(record.version), base=put_of(record.version))


def _version(record: Record) -> bytes:
    return record.version
