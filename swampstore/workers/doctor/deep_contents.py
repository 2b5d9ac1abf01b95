"""Contents: every one that an entry names is there, has its size and its SHA-256.

Small blobs are read side by side, large ones in pieces, packs once each (in rounds over the manifest when they have too
many members to remember at a time).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from swampstore.errors import Damaged, NotFound, SwampError
from swampstore.limits import MIB
from swampstore.protocols.contents import read_many, stream_content
from swampstore.protocols.place import Place
from swampstore.stores.base import Get, Got, Head, Headed
from swampstore.values.entry import OPAQUE, PENDING, Blob, Entry, External, Inline, Packed, Record, entry_of
from swampstore.values.root import Root
from swampstore.workers.doctor.finding import Finding
from swampstore.workers.target import Progress

MEMBERS = 200_000
"""Pack members remembered at a time."""
_SMALL_BYTES = 1 * MIB
_AT_ONCE = 64
_AT_ONCE_BYTES = 32 * MIB
_PACKS_AT_ONCE = 4
_PACK_BYTES = 16 * MIB
"""A pack up to this size is read whole."""
_HINT = "restore it from a backup of the store, or write the key again"


class Member(NamedTuple):
    """A content within a pack."""

    offset: int
    length: int
    sha256: bytes | None
    key: str


class Contents:
    """``every`` k-th content is read, of the others only the existence is looked at."""

    def __init__(self, place: Place, every: int, progress: Progress) -> None:
        self._place = place
        self._every = every
        self._progress = progress
        self._small: list[Entry] = []
        self._large: list[Entry] = []
        self._heads: list[Entry] = []
        self._members: dict[str, list[Member]] = {}
        self._foreign = 0
        self.findings: list[Finding] = []
        self.entries = 0
        self.total = 0
        self.checked = 0
        self.checked_bytes = 0

    def rounds(self, root: Root) -> Iterator[frozenset[str] | None]:
        """Sets of packs, each with as many members as are remembered at a time; ``None`` is every pack."""
        if sum(root.packs.values()) <= MEMBERS:
            yield None
            return
        part: set[str] = set()
        size = 0
        for pack, count in sorted(root.packs.items()):
            if part and size + count > MEMBERS:
                yield frozenset(part)
                part, size = set(), 0
            part.add(pack)
            size += count
        yield frozenset(part)

    def feed(self, record: Record, packs: frozenset[str] | None, *, first: bool) -> None:
        """Take note of what ``record`` names. In rounds after the ``first`` only packs are looked at."""
        if record.gone or record.flags & (OPAQUE | PENDING) == OPAQUE:
            return
        if record.expires and record.expires <= self._place.clock.now_ms():
            return
        try:
            entry = entry_of(record)
        except Damaged as error:
            if first:
                self.findings.append(Finding("entry-damaged", "error", record.key, str(error), "write the key again"))
            return
        if first:
            self.entries += 1
            self.total += entry.size
        at = entry.meta.at
        if isinstance(at, Packed):
            if (packs is None or at.unique in packs) and self._chosen(entry):
                member = Member(at.offset, at.length, entry.meta.sha256, entry.key)
                if at.length != entry.size:
                    self._tell(
                        entry.key, f"its place in pack {at.unique} has {at.length} bytes, the entry {entry.size}"
                    )
                self._members.setdefault(at.unique, []).append(member)
        elif first:
            self._note(entry)

    def _note(self, entry: Entry) -> None:
        at = entry.meta.at
        if isinstance(at, Inline):
            self._judge(entry, at.data)
        elif isinstance(at, External) and at.store:
            self._foreign += 1
        elif not self._chosen(entry):
            self._heads.append(entry)
        elif entry.size <= _SMALL_BYTES:
            self._small.append(entry)
        else:
            self._large.append(entry)

    def _chosen(self, entry: Entry) -> bool:
        """The same ones in every round and every run: by the key."""
        if self._every == 1:
            return True
        return int.from_bytes(hashlib.sha256(entry.key.encode()).digest()[:8]) % self._every == 0

    # --- reading ------------------------------------------------------------------------------------------------

    async def flush_some(self) -> None:
        """Read what has come together, when it is enough to be worth it."""
        while len(self._small) >= _AT_ONCE or sum(entry.size for entry in self._small) >= _AT_ONCE_BYTES:
            await self._read_small()
        if len(self._heads) >= _AT_ONCE:
            await self._look()
        while self._large:
            await self._read_large(self._large.pop())

    async def flush(self) -> None:
        """Read the rest, and the packs of this round."""
        while self._small:
            await self._read_small()
        await self._look()
        while self._large:
            await self._read_large(self._large.pop())
        packs, self._members = self._members, {}
        names = sorted(packs)
        for start in range(0, len(names), _PACKS_AT_ONCE):
            await self._read_packs({name: packs[name] for name in names[start : start + _PACKS_AT_ONCE]})
        if self._foreign:
            text = f"the contents of {self._foreign:,} entries lie in another store, and were not looked at"
            self.findings.append(Finding("elsewhere", "note", "", text, "import again with --copy to have them here"))
            self._foreign = 0

    async def _read_small(self) -> None:
        part: list[Entry] = []
        size = 0
        while self._small and len(part) < _AT_ONCE and (not part or size + self._small[-1].size <= _AT_ONCE_BYTES):
            part.append(self._small.pop())
            size += part[-1].size
        for entry, answer in zip(part, await read_many(self._place, part), strict=True):
            if isinstance(answer, Damaged):
                self._tell(entry.key, str(answer), answer.name, missing=answer.code == "missing-object")
            elif isinstance(answer, SwampError):
                raise answer
            else:
                self._counted(len(answer))

    async def _read_large(self, entry: Entry) -> None:
        try:
            async for chunk in stream_content(self._place, entry):
                self.checked_bytes += len(chunk)
                self._progress("contents", self.checked_bytes, 0)
        except Damaged as error:
            self._tell(entry.key, str(error), error.name, missing=error.code == "missing-object")
        self.checked += 1

    async def _look(self) -> None:
        part, self._heads = self._heads, []
        for start in range(0, len(part), _AT_ONCE):
            entries = part[start : start + _AT_ONCE]
            names = [self._object(entry) for entry in entries]
            answers = await self._place.store.many([Head(name) for name in names])
            for entry, name, answer in zip(entries, names, answers, strict=True):
                if isinstance(answer, NotFound):
                    self._tell(entry.key, f"{name}, the contents of {entry.key!r}, is gone", name, missing=True)
                elif isinstance(answer, SwampError):
                    raise answer
                elif isinstance(answer, Headed) and answer.info.size != entry.size:
                    self._tell(entry.key, f"{name} has {answer.info.size} bytes, the entry says {entry.size}", name)

    def _object(self, entry: Entry) -> str:
        at = entry.meta.at
        assert isinstance(at, Blob | External)
        return self._place.names.unique("blob", at.unique) if isinstance(at, Blob) else at.name

    async def _read_packs(self, packs: dict[str, list[Member]]) -> None:
        names = [self._place.names.unique("pack", part) for part in packs]
        answers = await self._place.store.many([Get(name, span=(0, _PACK_BYTES)) for name in names])
        for name, members, answer in zip(names, packs.values(), answers, strict=True):
            if isinstance(answer, NotFound):
                keys = ", ".join(repr(member.key) for member in members[:3])
                text = f"{name} is gone, with the contents of {len(members):,} entries: {keys}"
                self.findings.append(Finding("content-missing", "error", name, text, _HINT))
                continue
            if isinstance(answer, SwampError):
                raise answer
            assert isinstance(answer, Got)
            for member in members:
                body = answer.body[member.offset : member.offset + member.length]
                if len(body) < member.length and answer.size >= member.offset + member.length:
                    body = await self._rest(name, member)
                self._check_member(name, member, body)

    async def _rest(self, name: str, member: Member) -> bytes:
        got = await self._place.store.get(name, span=(member.offset, min(member.length, _PACK_BYTES)))
        assert isinstance(got, Got)
        return got.body

    def _check_member(self, name: str, member: Member, body: bytes) -> None:
        good = member.sha256 is None or hashlib.sha256(body).digest() == member.sha256
        if len(body) != member.length or not good:
            self._tell(member.key, f"{name}: the contents of {member.key!r} are not what was written", name)
        self._counted(len(body))

    def _judge(self, entry: Entry, body: bytes) -> None:
        meta = entry.meta
        if len(body) != meta.size or (meta.sha256 is not None and hashlib.sha256(body).digest() != meta.sha256):
            self._tell(entry.key, f"the contents of {entry.key!r} are not what was written")
        self._counted(len(body))

    def _counted(self, size: int) -> None:
        self.checked += 1
        self.checked_bytes += size
        self._progress("contents", self.checked_bytes, 0)

    def _tell(self, key: str, text: str, name: str = "", *, missing: bool = False) -> None:
        self.findings.append(
            Finding("content-missing" if missing else "content-damaged", "error", name or key, text, _HINT)
        )
