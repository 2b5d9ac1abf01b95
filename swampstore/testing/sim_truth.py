"""What a namespace must hold, worked out from its log alone, and the comparison of a root with it.

The *truth* joins the records of every slot that a published root covers. A root is right when its level 0, its shards and
its side homes, joined, hold exactly the truth: that is the conserved quantity of the design, checked by winners.

Invariants:
- The truth is never learned from what a fold or a merge wrote, except for the numbers of versions of the data model, of
  which it only demands that each is given once, without holes, and for ever.
- A tombstone may be missing only below the line that every root so far has drawn; what was runtime state may be missing
  after its time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from swampstore.testing.env import START_MS
from swampstore.values.classes import rules_of
from swampstore.values.data import RAW, decode_ordinal, parse_id_key, raw_path
from swampstore.values.entry import AUDIT, CONFLICT, EPHEMERAL, HAS_BASE, OPAQUE, PENDING, Record, content_of
from swampstore.values.join import conflict_key, kept_loser, newer
from swampstore.values.names import Names
from swampstore.values.root import Root, RunRef
from swampstore.values.run import decode_block, decode_index, index_span
from swampstore.values.segment import Segment
from swampstore.values.version import is_refined, just_above, put_of, version_ms
from swampstore.workers.tombstones import tombstone_line_ms

_DATA_MARK = "\0data"


class Truth:
    """``body`` gives the bytes of an object, or ``None`` when it is gone; ``fail`` is told what is wrong."""

    def __init__(self, names: Names, body: Callable[[str], bytes | None], fail: Callable[[str], None]) -> None:
        self._names = names
        self._body = body
        self._fail = fail
        self._runs: dict[str, list[Record]] = {}
        self._line = 0
        self.winners: dict[str, Record] = {}
        self.deltas: dict[str, dict[bytes, Record]] = {}
        """Every put and tombstone that was covered, by key and version."""
        self.buried: dict[str, bytes] = {}
        """The last version of a key that was forgotten for good."""
        self.pending: dict[str, Record] = {}
        self.numbers: dict[str, int] = {}
        self.audit: set[str] = set()
        self.view: dict[str, Record] = {}
        """What the last root holds, joined."""

    # --- from the log -------------------------------------------------------------------------------------------

    def take(self, segments: Iterable[Segment], settings: Mapping[str, object]) -> None:
        """Slots that a root covers from now on."""
        rules = rules_of(settings)
        for segment in segments:
            for record in rules.apply(segment.records):
                if record.flags & AUDIT:
                    self.audit.add(record.key)
                    continue
                held = self.winners.get(record.key)
                self.winners[record.key] = record if held is None else newer(held, record)
                if record.flags & PENDING:
                    self.pending[record.key] = record
                else:
                    version = record.version if record.gone else put_of(record.version)
                    self.deltas.setdefault(record.key, {})[version] = record

    # --- against a root -----------------------------------------------------------------------------------------

    def compare(self, root: Root, now_ms: int) -> None:
        """Tell what ``root`` does not hold, or holds and should not."""
        layers = self._layers(root)
        if layers is None:
            return
        view: dict[str, Record] = {}
        for records in layers:
            for record in records:
                held = view.get(record.key)
                view[record.key] = record if held is None else newer(held, record)
        self.view = view
        self._line = max(self._line, tombstone_line_ms(root))
        for key, record in list(self.winners.items()):
            if not self._is_right(record, view.get(key), now_ms):
                self._fail(f"root {root.version}: {key!r} should be {_show(record)} and is {_show(view.get(key))}")
            elif key not in view:
                self.buried[key] = record.version
                del self.winners[key]  # buried: if it comes back, nobody has written it
            elif view[key].version < record.version:
                self.buried[key] = record.version
                self.winners[key] = view[key]  # an older tombstone was below the one that was buried
        for key, record in view.items():
            if key not in self.winners and not record.flags & CONFLICT and _DATA_MARK not in key and not _made(key):
                self._fail(
                    f"root {root.version}: holds {_show(record)} of {key!r}, which nobody wrote or which was gone"
                )
        self._numbers(root, view)
        self._contents(root, layers)
        self._archives(root)

    def _layers(self, root: Root) -> list[Sequence[Record]] | None:
        layers: list[Sequence[Record]] = [root.inline, root.eph.inline]
        for ref in (*root.level0, *root.shards, *root.eph.runs):
            records = self.run(ref)
            if records is None:
                self._fail(f"root {root.version} names {ref.name}, which is not there")
                return None
            layers.append(records)
        return layers

    def run(self, ref: RunRef) -> list[Record] | None:
        """The records of a run; ``None`` when it is gone."""
        name = self._names.prefix + ref.name
        data = self._body(name)
        if data is None:
            return None
        if ref.name not in self._runs:
            at, size = index_span(ref)
            index = decode_index(data[at : at + size], name)
            self._runs[ref.name] = [
                record
                for info in index
                for record in decode_block(info, data[info.offset : info.offset + info.size], name)
            ]
        return self._runs[ref.name]

    def _is_right(self, wanted: Record, held: Record | None, now_ms: int) -> bool:
        if held is None or (held.gone and held.version < wanted.version and not wanted.flags & PENDING):
            over = wanted.gone or (bool(wanted.flags & EPHEMERAL) and wanted.expires <= now_ms)
            return over and version_ms(wanted.version) < self._line
        if wanted.flags & PENDING:
            return put_of(held.version) == put_of(wanted.version) and held.version > wanted.version
        if held.version == wanted.version:
            return held.gone == wanted.gone
        if put_of(held.version) != put_of(wanted.version) or wanted.gone:
            return False
        expired = (
            bool(wanted.flags & EPHEMERAL) and wanted.expires <= now_ms and held.version == just_above(wanted.version)
        )
        return is_refined(held.version) or expired

    def _numbers(self, root: Root, view: Mapping[str, Record]) -> None:
        """Every pending version that was folded has a number that never changes; those of an item have no holes."""
        given: dict[str, set[int]] = {}
        for key, record in self.pending.items():
            found = parse_id_key(key)
            assert found is not None
            item, version = found
            held = view.get(key)
            if held is not None and held.flags == OPAQUE and put_of(held.version) == version:
                number = decode_ordinal(held.value, key)
                if self.numbers.setdefault(key, number) != number:
                    self._fail(f"root {root.version}: version {key!r} was {self.numbers[key]} and is {number}")
                raw = view.get(raw_path(item, number))
                if (raw is None or put_of(raw.version) != put_of(record.version)) and raw_path(
                    item, number
                ) not in self.deltas:
                    self._fail(
                        f"root {root.version}: version {number} of {item} should be {record.version.hex()}, is {_show(raw)}"
                    )
            if key in self.numbers:
                if self.numbers[key] in given.setdefault(item, set()):
                    self._fail(f"root {root.version}: two versions of {item} are number {self.numbers[key]}")
                given[item].add(self.numbers[key])
        for item, numbers in given.items():
            if numbers != set(range(1, len(numbers) + 1)):
                self._fail(f"root {root.version}: the numbers of {item} are {sorted(numbers)}")

    def _contents(self, root: Root, layers: Iterable[Sequence[Record]]) -> None:
        """What any record names is there, and packs count those that name them."""
        packs: Counter[str] = Counter()
        for records in layers:
            for record in records:
                name = content_of(record)
                if name is None:
                    continue
                if self._body(self._names.prefix + name) is None:
                    self._fail(f"root {root.version}: {name}, which {record.key!r} names, is gone")
                if name.startswith("pack/"):
                    packs[name.removeprefix("pack/")] += 1
        if packs != Counter(root.packs):
            self._fail(f"root {root.version}: counts {dict(root.packs)} members of packs; there are {dict(packs)}")

    def _archives(self, root: Root) -> None:
        """No audit record is lost on its way into the archives, none is there twice."""
        there = Counter(record.key for record in root.audit.inline)
        for one in root.audit.fresh:
            there.update(record.key for record in self.run(one.run) or ())
        total = len(there) + root.audit.records if root.audit.records else len(there)
        if len(self.audit) > total or (not root.audit.records and set(there) != self.audit):
            self._fail(f"root {root.version}: {len(self.audit)} audit records were taken in, it has {total}")

    def named(self) -> set[str]:
        """Contents that a covered winner names."""
        return {name for record in self.view.values() if (name := content_of(record)) is not None}

    def named_by(self, root: Root) -> frozenset[str]:
        """The runs that ``root`` names, and the contents that their winners name."""
        view: dict[str, Record] = {}
        for records in self._layers(root) or ():
            for record in records:
                held = view.get(record.key)
                view[record.key] = record if held is None else newer(held, record)
        contents = {name for record in view.values() if (name := content_of(record)) is not None}
        return frozenset(contents | {ref.name for ref in root.runs})

    def check_conflicts(self) -> None:
        """In the end, all joined: whoever lost to a put that had not seen it is kept beside it."""
        for key, deltas in self.deltas.items():
            if len(deltas) < 2:
                continue
            *_, loser, winner = (deltas[version] for version in sorted(deltas))
            held = self.view.get(key)
            if (
                held is None
                or put_of(held.version) != put_of(winner.version)
                or not winner.flags & HAS_BASE
                or held.gone
            ):
                continue
            if kept_loser(winner, loser) is not None and conflict_key(key, loser.version) not in self.view:
                self._fail(f"{_show(loser)} of {key!r} lost to a put that had not seen it, and was not kept")


def _made(key: str) -> bool:
    """Whether the fold makes records under ``key``: the numbered files of the data model."""
    return key.startswith("data/") and key.endswith(("/" + RAW, "/metadata.yaml"))


def _show(record: Record | None) -> str:
    if record is None:
        return "nothing"
    at = (version_ms(record.version) - START_MS) / 1000
    return (
        f"{'a tombstone' if record.gone else 'a put'} of {at:.3f} s ({record.version.hex()[12:]}, flags {record.flags})"
    )
