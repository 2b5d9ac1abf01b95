"""Which of the imported files are contents of a version, and what their entries say.

By the rule of the layout, over the whole index: a numeric folder that holds ``metadata.yaml`` is a version. The path
alone tells model, name and number; the rest is read from ``metadata.yaml`` where contents are read or lie on this
machine's disk.

Invariants:
- What contradicts itself is imported as plain entries and reported; nothing is lost and nothing stops.
- Facts of no more than one batch are in memory.
- What was past its lifetime before it came here stays readable for a while: nothing vanishes on the day of the import.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from swampstore.limits import DATA_METADATA_BYTES
from swampstore.stores.base import Store
from swampstore.values.data import METADATA, RAW, number_problem, parse_path, version_folder
from swampstore.workers.facts import Facts, NotAVersion, facts_of, plain_facts
from swampstore.workers.legacy.limits import ENDED_GRACE_MS
from swampstore.workers.legacy.locating import Located
from swampstore.workers.legacy.reading import groups, read_group
from swampstore.workers.legacy.report import ImportReport

_META_END = f"/{METADATA}"
_RAW_END = f"/{RAW}"


def mark_versions(located: dict[str, Located]) -> None:
    """Mark both files of every version among ``located``."""
    for rel in [rel for rel in located if rel.endswith(_META_END)]:
        folder = version_folder(rel)
        if folder is not None:
            for key in (rel, folder + _RAW_END):
                item = located.get(key)
                if item is not None:
                    located[key] = msgspec.structs.replace(item, version=True)


def other_file(key: str) -> str:
    """The other file of the version that ``key`` is a file of."""
    return key.removesuffix(_RAW_END) + _META_END if key.endswith(_RAW_END) else key.removesuffix(_META_END) + _RAW_END


class Versions:
    """What is known of the versions of one import, a batch at a time. Give it the files in key order."""

    def __init__(self, source: Store, report: ImportReport, now_ms: int) -> None:
        self._source = source
        self._report = report
        self._now_ms = now_ms
        self._facts: dict[str, Facts | None] = {}

    async def read(self, items: Sequence[Located]) -> None:
        """Read the ``metadata.yaml`` files among ``items``. What cannot be read says nothing: its import reports why."""
        self.keep_last()
        wanted = [item for item in items if item.version and item.key.endswith(_META_END)]
        small = [item for item in wanted if item.size <= DATA_METADATA_BYTES]
        for item in wanted:
            if item.size > DATA_METADATA_BYTES:
                self.trouble(item.key.removesuffix(_META_END), f"its metadata.yaml has {item.size} bytes")
        for group in groups(small):
            found = await read_group(self._source, group, ImportReport())
            self.take([(item, body) for item, body in found])

    def take(self, bodies: Iterable[tuple[Located, bytes]]) -> None:
        """Take in contents that were read anyway."""
        for item, body in bodies:
            if not item.version or not item.key.endswith(_META_END):
                continue
            folder = item.key.removesuffix(_META_END)
            path = parse_path(item.key)
            assert path is not None
            try:
                self._facts[folder] = self._graced(facts_of(path, body, modified=item.modified))
            except NotAVersion as reason:
                self.trouble(folder, str(reason))

    def keep_last(self) -> None:
        """Forget all but the last folder: its contents come next."""
        if self._facts:
            last = next(reversed(self._facts))
            self._facts = {last: self._facts[last]}

    def of(self, item: Located) -> Facts | None:
        """What the entry of ``item`` says; for ``metadata.yaml`` only how long it lives."""
        if not item.version:
            problem = number_problem(item.key)
            if problem:
                self._report.plain(item.key.removesuffix(_META_END), problem)
            return None
        folder = item.key.rpartition("/")[0]
        if folder in self._facts:
            return self._checked(item, folder, self._facts[folder])
        if item.key.endswith(_META_END):
            return None
        path = parse_path(item.key)
        assert path is not None
        try:
            return plain_facts(path)
        except NotAVersion as reason:
            self.trouble(folder, str(reason))
            return None

    def _checked(self, item: Located, folder: str, facts: Facts | None) -> Facts | None:
        if facts is not None and item.key.endswith(_RAW_END):
            try:
                facts.check(item.size, item.sha256)
            except NotAVersion as reason:
                self.trouble(folder, str(reason))
                return None
        return facts

    def trouble(self, folder: str, reason: str) -> None:
        """Report why ``folder`` is no version, once."""
        if self._facts.get(folder, ...) is not None:
            self._facts[folder] = None
            self._report.plain(folder, reason)

    def _graced(self, facts: Facts) -> Facts:
        if not 0 < facts.expires <= self._now_ms:
            return facts
        self._report.ended += 1
        return msgspec.structs.replace(facts, expires=self._now_ms + ENDED_GRACE_MS)
