"""The deep examination: everything is read once and compared with what is said of it.

Bounded memory: one run, or a chunk of records, or a few packs at a time. Under a pin, so that no sweep overtakes it; where
nothing may be written, without one.
"""

from __future__ import annotations

from collections import Counter

from swampstore.errors import FixTheSetup, NotFound, SwampError, TryAgain, UnknownFormat
from swampstore.protocols.pins import PinnedSnapshot, pin_snapshot
from swampstore.protocols.runs import find_in_runs
from swampstore.protocols.snapshot import Snapshot, SnapshotReader
from swampstore.stores.base import Got
from swampstore.values.entry import Record, content_of
from swampstore.values.root import Root, RunRef
from swampstore.workers.doctor.deep_archives import check_archives
from swampstore.workers.doctor.deep_contents import Contents
from swampstore.workers.doctor.deep_data import DataModel
from swampstore.workers.doctor.deep_saved import check_saved_contents
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.doctor.runs import RESTORE
from swampstore.workers.doctor.sight import Sight, read_root
from swampstore.workers.salvage import Salvaged, by_key, read_run
from swampstore.workers.target import Progress

MOST = 100
"""Findings of one code that are told one by one."""
_KEYS_AT_ONCE = 2000


async def check_deep(sight: Sight, counts: dict[str, int], *, sample: int, progress: Progress) -> list[Finding]:
    """Every run, every record, every content (of every so-manieth entry, with ``sample``)."""
    reader = SnapshotReader(sight.place, sight.register)
    pinned: PinnedSnapshot | None = pin_snapshot(sight.place, sight.register, reader)
    try:
        assert pinned is not None
        await pinned.__aenter__()
        snapshot = pinned.snapshot
    except FixTheSetup:
        pinned, snapshot = None, await reader.open()
    try:
        return bounded(await _Deep(sight, snapshot, pinned, counts, progress).run(sample))
    finally:
        if pinned is not None:
            await pinned.release()


def bounded(findings: list[Finding]) -> list[Finding]:
    """At most so many findings of a code, and how many more there are."""
    seen: Counter[str] = Counter()
    kept: list[Finding] = []
    for one in findings:
        seen[one.code] += 1
        if seen[one.code] <= MOST:
            kept.append(one)
    severities = {one.code: one.severity for one in findings}
    for code, count in seen.items():
        if count > MOST:
            kept.append(Finding(code, severities[code], "", f"and {count - MOST:,} more of these"))
    return kept


class _Deep:
    """One deep examination of one snapshot."""

    def __init__(
        self,
        sight: Sight,
        snapshot: Snapshot,
        pinned: PinnedSnapshot | None,
        counts: dict[str, int],
        progress: Progress,
    ) -> None:
        self.sight = sight
        self.place = sight.place
        self.snapshot = snapshot
        self.pinned = pinned
        self.counts = counts
        self.progress = progress
        self.findings: list[Finding] = []

    async def run(self, sample: int) -> list[Finding]:
        runs = await self._runs()
        if len(runs) == len(self.snapshot.root.runs):
            self._packs(runs)
            await self._twins(runs)
            await self._records(sample)
            self.findings += await check_archives(self.place, self.snapshot.root, self.progress)
        else:
            text = "some runs cannot be read, so entries and contents were not looked at"
            self.findings.append(Finding("cut-short", "note", "", text, "mend the runs first, then look again"))
        self.findings += await check_saved_contents(self.sight, self.counts, self.progress)
        return self.findings

    async def keep(self) -> None:
        if self.pinned is not None:
            await self.pinned.keep()

    # --- runs ---------------------------------------------------------------------------------------------------

    async def _runs(self) -> list[Salvaged]:
        """Read every run: its hash, its order, its sums. Those that are good."""
        good: list[Salvaged] = []
        done = 0
        total = sum(ref.size for ref in self.snapshot.root.runs)
        for ref in self.snapshot.root.runs:
            run = await self._run(ref)
            if run is not None:
                good.append(run)
            done += ref.size
            self.progress("manifest", done, total)
            await self.keep()
        self.counts["manifest_bytes"] = total
        return good

    async def _run(self, ref: RunRef) -> Salvaged | None:
        name = self.place.full(ref.name)
        try:
            got = await self.place.store.get(name)
            assert isinstance(got, Got)
            run = read_run(ref.name, got.body, name)
        except NotFound:
            if any(one.name == ref.name for one in (await read_root(self.place))[0].root.runs):
                self.findings.append(Finding("run-missing", "error", name, "it is missing", RESTORE))
            return None
        except (TryAgain, FixTheSetup, UnknownFormat):
            raise
        except SwampError as error:
            self.findings.append(Finding("run-damaged", "error", name, str(error), RESTORE))
            return None
        wrong = [
            field
            for field in ("digest", "size", "first", "last", "count", "tombstones", "sum", "expires", "index_at")
            if getattr(ref, field) != getattr(run.ref, field)
        ]
        if wrong:
            text = f"its {', '.join(wrong)} differ from what the root says"
            self.findings.append(Finding("run-damaged", "error", name, text, RESTORE))
            return None
        return run

    def _packs(self, runs: list[Salvaged]) -> None:
        """The root's counts of pack members against those of its runs."""
        root = self.snapshot.root
        counts: Counter[str] = Counter()
        for run in runs:
            if not run.ref.name.startswith("audit/"):
                counts.update(run.packs)
        for record in (*root.inline, *root.eph.inline):
            name = content_of(record)
            if name is not None and name.startswith("pack/"):
                counts[name.removeprefix("pack/")] += 1
        wrong = sorted(part for part in {*counts, *root.packs} if counts[part] != root.packs.get(part, 0))
        if wrong:
            text = f"the counts of {len(wrong):,} packs are wrong, the first: {wrong[0]}"
            hint = "a count too low is noticed by the sweep, one too high keeps a pack; repair corrects them"
            self.findings.append(Finding("pack-counts", "warning", self.place.names.root, text, hint, True))

    async def _twins(self, runs: list[Salvaged]) -> None:
        """Records of equal version and different bytes: no writer makes such."""
        root = self.snapshot.root
        if root.level0:
            held = [run for run in runs if run.ref.name.startswith(("l0/", "shard/"))]
            async for key, records in by_key(self.place, held):
                if len(records) > 1:
                    self._compare(key, list(records.values()))
        overlay = self.snapshot.overlay
        keys = sorted(overlay)
        refs = [*root.level0, *root.shards]
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            part = keys[start : start + _KEYS_AT_ONCE]
            for key, found in (await find_in_runs(self.place, refs, part)).items():
                self._compare(key, [overlay[key], *found])

    def _compare(self, key: str, records: list[Record]) -> None:
        first: dict[bytes, Record] = {}
        for record in records:
            other = first.setdefault(record.version, record)
            if (other.value, other.flags, other.expires) != (record.value, record.flags, record.expires):
                text = f"two records of {key!r} have one version ({record.version.hex()}) and different contents"
                hint = "the greater encoding wins everywhere; find out who writes with another process's identity"
                self.findings.append(Finding("equal-versions", "error", key, text, hint))
                return

    # --- records ------------------------------------------------------------------------------------------------

    async def _records(self, sample: int) -> None:
        root, counts = self.snapshot.root, self.counts
        contents = Contents(self.place, max(1, root.entries // sample) if sample else 1, self.progress)
        data = DataModel(self.place.clock.now_ms(), not_folded(self.snapshot, root))
        for number, packs in enumerate(contents.rounds(root)):
            async for records in self.snapshot.records(internal=True):
                for record in records:
                    if number == 0:
                        data.feed(record)
                    contents.feed(record, packs, first=number == 0)
                await contents.flush_some()
                await self.keep()
            await contents.flush()
        data.end()
        self.findings += [*contents.findings, *data.findings]
        counts["entries"] = contents.entries
        counts["content_bytes"] = contents.total
        counts["checked_contents"] = contents.checked
        counts["checked_bytes"] = contents.checked_bytes


def not_folded(snapshot: Snapshot, root: Root) -> frozenset[str]:
    """Keys whose newest record a fold has yet to take in: what it makes of them is not there yet."""
    inline = {(record.key, record.version) for record in root.inline}
    return frozenset(record.key for record in snapshot.overlay.values() if (record.key, record.version) not in inline)
