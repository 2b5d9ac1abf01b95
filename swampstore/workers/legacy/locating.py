"""Where the contents of each legacy entry lie: found by one listing of the place, not by a request an entry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from swampstore.errors import NotFound, SwampError
from swampstore.limits import MIB
from swampstore.stores.base import Get, Got, Head, Headed, Outcome, Store
from swampstore.workers.legacy.entries import LegacyEntry
from swampstore.workers.legacy.index import Flavour, detect, load
from swampstore.workers.legacy.listing import listed
from swampstore.workers.legacy.rules import Place, Rules, locations
from swampstore.workers.target import Progress

if TYPE_CHECKING:
    from swampstore.workers.legacy.importer import ImportReport

_AT_ONCE = 256
_HASH_AT_ONCE_BYTES = 32 * MIB
_EXAMPLES = 100


class Located(msgspec.Struct, frozen=True, gc=False):
    """A rel with the object that holds its contents. ``name`` is the object's name in the source store."""

    key: str
    name: str
    size: int
    modified: int
    sha256: bytes | None
    unverified: bool = False


async def locate(
    source: Store,
    place: Place,
    others: Iterable[str],
    found: dict[str, LegacyEntry],
    keys: Sequence[str],
    copy: bool,
    report: ImportReport,
    progress: Progress,
) -> list[Located]:
    """The object of every entry, in key order; what has none, or one of another size, is reported and left out.

    Hashes that the index does not know are computed here, unless the contents will be read anyway (``copy``).
    """
    finder = _Finder(found, report)
    rules = Rules(place, others)
    seen = 0
    async for page in listed(source, place, set(others) - {place.namespace}):
        seen += len(page)
        progress("checking objects", min(seen, len(keys)), len(keys))
        for item in page:
            if item.rel in found:
                finder.judge(item.rel, place.base + item.rel, item.size)
            else:
                report.unindexed += rules.dropped(item.rel) is None
    await _fall_back(source, place, [key for key in keys if key not in finder.judged], finder)
    if not copy:
        await _hash_unknown(source, finder.located, report, progress)
    return [finder.located[key] for key in keys if key in finder.located]


class _Finder:
    """Collects the located; whatever was judged is either located or reported."""

    def __init__(self, found: dict[str, LegacyEntry], report: ImportReport) -> None:
        self._found = found
        self.report = report
        self.located: dict[str, Located] = {}
        self.judged: set[str] = set()

    def judge(self, rel: str, name: str, size: int) -> None:
        """Take the object ``name`` of ``size`` bytes for ``rel`` if the sizes agree."""
        entry = self._found[rel]
        self.judged.add(rel)
        if size == entry.size:
            self.located[rel] = Located(rel, name, entry.size, entry.last_modified_ms, entry.sha256)
        else:
            _damaged(self.report, f"{rel}: {size} bytes, the index says {entry.size}")

    def dangling(self, rel: str) -> None:
        self.judged.add(rel)
        self.report.dangling += 1
        if len(self.report.dangling_examples) < _EXAMPLES:
            self.report.dangling_examples.append(rel)


def _damaged(report: ImportReport, text: str) -> None:
    report.damaged += 1
    if len(report.damaged_examples) < _EXAMPLES:
        report.damaged_examples.append(text)


async def _fall_back(source: Store, place: Place, missing: Sequence[str], finder: _Finder) -> None:
    """Older clients wrote a namespace's objects at the prefix; they count if an index at the root lists them."""
    at_root: dict[str, LegacyEntry] = {}
    if missing and place.namespace:
        root_index = await detect(source, place.root)
        if root_index.flavour is not Flavour.NONE:
            at_root = await load(source, root_index, partial=True)
    for start in range(0, len(missing), _AT_ONCE):
        group = missing[start : start + _AT_ONCE]
        asked = [(key, name) for key in group for name in locations(place, key, root_lists=key in at_root)[1:]]
        answers = await source.many([Head(name) for _, name in asked])
        for (key, name), answer in zip(asked, answers, strict=True):
            if isinstance(answer, Headed):
                finder.judge(key, name, answer.info.size)
            elif not isinstance(answer, NotFound):
                assert isinstance(answer, SwampError)
                raise answer
        for key in group:
            if key not in finder.judged:
                finder.dangling(key)


async def _hash_unknown(source: Store, located: dict[str, Located], report: ImportReport, progress: Progress) -> None:
    """Compute the hashes that the index does not know, reading small objects side by side and large ones in pieces."""
    unknown = [item for item in located.values() if item.sha256 is None]
    done = 0
    for group in by_size(unknown, _HASH_AT_ONCE_BYTES, _AT_ONCE):
        answers = await source.many([Get(item.name) for item in group]) if len(group) > 1 else [None]
        for item, answer in zip(group, answers, strict=True):
            digest = _digest(answer) if answer is not None else await _digest_in_pieces(source, item)
            if isinstance(digest, bytes):
                located[item.key] = msgspec.structs.replace(item, sha256=digest)
                report.hashed += 1
            else:
                del located[item.key]
                _damaged(report, f"{item.key}: {digest}")
        done += len(group)
        progress("hashing objects", done, len(unknown))


def by_size(items: Sequence[Located], most_bytes: int, most: int) -> Iterable[list[Located]]:
    """Groups whose contents fit into memory together; an item above the limit comes alone."""
    group: list[Located] = []
    size = 0
    for item in items:
        if group and (size + item.size > most_bytes or len(group) == most):
            yield group
            group, size = [], 0
        group.append(item)
        size += item.size
    if group:
        yield group


def _digest(answer: Outcome) -> bytes | SwampError:
    if isinstance(answer, SwampError):
        return answer
    assert isinstance(answer, Got)
    return hashlib.sha256(answer.body).digest()


async def _digest_in_pieces(source: Store, item: Located) -> bytes | SwampError:
    digest = hashlib.sha256()
    try:
        for offset in range(0, item.size, 8 * MIB):
            got = await source.get(item.name, span=(offset, min(8 * MIB, item.size - offset)))
            assert isinstance(got, Got)
            digest.update(got.body)
    except SwampError as error:
        return error
    return digest.digest()
